-- SPDX-License-Identifier: BSD-3-Clause
-- Snapshots: one page index of a memory object in all its stretches, as docs/snapshots.md specifies them on top of
-- docs/coherence.md. It reads like coherence.m, without windows, releases, returning nodes and the death of the home; a
-- "page" is that index in one stretch. README.md in this folder says what is modelled, and what "guard" means.

const
  NODES: 2;     -- at least 2
  STRETCHES: 2; -- the object as it was allocated, and the snapshots that can be made
  DEATHS: 0;    -- how many nodes may crash, the home excepted: 0 or 1
  FREEZES: 1;   -- how many freezes there may be
  FREEZERS: 1;  -- how many of them at a time in one stretch
  ENDS: 1;      -- how many stretches may end
  EMPTIED: 1;   -- how often the home may wish to empty one that has ended
  FAULTS: 0;    -- how many page faults there may be; 0: any number
  NET: 12;      -- how many messages can be on their way; that it is enough is checked, as are the next four
  TXN: 14;
  QUEUE: 8;
  DEFERRED: 3;
  OWN: 4;
  HOME: 0;

type
  Node: 0 .. NODES - 1;
  NodeSet: array [Node] of boolean;
  Stretch: 0 .. STRETCHES - 1;
  Link: 0 .. STRETCHES;  -- s + 1: stretch s; 0: none
  Txn: 0 .. TXN;         -- 0: none
  Value: 0 .. STRETCHES; -- s + 1: what a read of stretch s has to return; 0: anything else
  Slot: 0 .. NET - 1;
  Place: 0 .. QUEUE - 1;
  Aside: 0 .. DEFERRED - 1;
  Rank: 0 .. 15;

  Access: enum {access_none, access_read, access_write, access_lost};
  MsgType: enum {msg_none, msg_get, msg_forward, msg_inval, msg_inval_ack, msg_data, msg_grant, msg_done, msg_fail,
                 msg_freeze, msg_frozen, msg_forget};
  Phase: enum {invalidating, answering};
  Life: enum {unused, live, ended, gone}; -- of a stretch; ended: in the line, but nobody maps it

  -- A request's number is only ever compared with that of the request under way: `request` says whether it is the same.
  -- The number 0, of what the home asks for itself, is `fetch`.
  Message: record
    kind: MsgType;
    from: Node;
    dest: Node;
    write: boolean;
    have: boolean;
    lost: boolean;
    request: boolean;
    fetch: boolean;
    requester: Node;
    txn: Txn;
    page: Stretch;
    mask: boolean;   -- data: the page is in it; done: it was accepted
    value: Value;
  end;

  Get: record
    used: boolean;
    from: Node;
    request: boolean;
    fetch: boolean;
    write: boolean;
    have: boolean;
    page: Stretch;
  end;

  Transaction: record
    busy: boolean;
    number: Txn;
    get: Get;
    waiting: NodeSet;
    supplier: Node;
    phase: Phase;
    upgrade: boolean;
  end;

var
  -- Cache side, by node and page.
  access: array [Node] of array [Stretch] of Access;
  epoch: array [Node] of array [Stretch] of Txn;
  floor: array [Node] of array [Stretch] of Txn;              -- an older right to write is one to read
  want_read: array [Node] of array [Stretch] of boolean;
  want_write: array [Node] of array [Stretch] of boolean;
  frame: array [Node] of array [Stretch] of Value;
  request: array [Node] of array [Stretch] of boolean;        -- under way
  request_write: array [Node] of array [Stretch] of boolean;
  deferred: array [Aside] of Message;                         -- forwards of all nodes, in order of arrival
  -- Directory side, by page.
  owner: array [Stretch] of Node;
  sharers: array [Stretch] of NodeSet;
  lost: array [Stretch] of boolean;
  pending: array [Stretch] of boolean;                        -- without content of its own
  queue: array [Place] of Get;                                -- of all pages, in order of arrival
  transactions: array [Stretch] of Transaction;
  next_transaction: Txn;
  -- Directory side, by stretch.
  life: array [Stretch] of Life;
  behind: array [Stretch] of Link;                            -- the line
  freezes: array [Stretch] of 0 .. FREEZERS;                  -- without a thaw yet
  freeze: array [Stretch] of Txn;                             -- the number of the last
  freezing: array [Stretch] of NodeSet;                       -- who has not answered it
  writers: array [Stretch] of NodeSet;                        -- who else may hold a right to write
  given: array [Stretch] of NodeSet;                          -- who may hold anything
  -- What a read has to return, as the value of the first stretch of which it is the value.
  truth: array [Stretch] of Value;
  -- Membership.
  dead: NodeSet;
  down: NodeSet;                                              -- the home has been told
  deaths: 0 .. DEATHS;
  begun: 0 .. FREEZES;
  ends: 0 .. ENDS;
  emptied: 0 .. EMPTIED;
  faults: 0 .. FAULTS;
  -- The network: a multiset, kept sorted so that it looks the same however it came about.
  net: array [Slot] of Message;
  flying: 0 .. NET;
  -- What is still to be done before the event is over: empty between events.
  own: array [0 .. OWN - 1] of Message;                       -- messages for the node that handles the event
  own_used: 0 .. OWN;
  review: array [Stretch] of boolean;                         -- transactions to be looked at because `deceased` died
  deceased: Node;

---------------------------------------------------------------------------------------------------- small things

function Here(n: Node; p: Stretch): boolean;
begin
  return access[n][p] = access_read | access[n][p] = access_write;
end;

function Holds(p: Stretch; n: Node): boolean;
begin
  return owner[p] = n | sharers[p][n];
end;

function Empty(s: NodeSet): boolean;
begin
  return forall n: Node do !s[n] end;
end;

---------------------------------------------------------------------------------------------------- the line

function InLine(p: Stretch): boolean;
begin
  return life[p] = live | life[p] = ended;
end;

function IsFirst(p: Stretch): boolean;
begin
  return InLine(p) & !(exists q: Stretch do behind[q] = p + 1 end);
end;

-- The page that has the content of this one, which can be asked for.
function Source(p: Stretch): Stretch;
var s: Link;
var at: Link;
begin
  for q: Stretch do
    if IsFirst(q) then
      at := q + 1;
    end;
  end;
  s := 0;
  while at != 0 do
    if !pending[at - 1] then
      s := at;
    end;
    if at = p + 1 then
      assert s != 0 "a page that can be asked for has a source";
      return s - 1;
    end;
    at := behind[at - 1];
  end;
  error "who can be asked for is in the line";
end;

-- The nearest page that can be asked for and reads through to this one, or would if it were settled. 0: none.
function Reader(p: Stretch): Link;
var at: Link;
begin
  at := behind[p];
  while at != 0 do
    if !pending[at - 1] then
      return 0;
    end;
    if life[at - 1] = live then
      return at;
    end;
    at := behind[at - 1];
  end;
  return 0;
end;

function Needed(p: Stretch): boolean;
begin
  return !pending[p] & Reader(p) != 0;
end;

function Frozen(p: Stretch): boolean;
begin
  return freezes[p] > 0 & Empty(freezing[p]);
end;

---------------------------------------------------------------------------------------------------- values

procedure Rename(old: Value; new: Value);
begin
  for n: Node do
    for p: Stretch do
      if frame[n][p] = old then
        frame[n][p] := new;
      end;
    end;
  end;
  for i: Slot do
    if i < flying & net[i].value = old then
      net[i].value := new;
    end;
  end;
  for p: Stretch do
    if truth[p] = old then
      truth[p] := new;
    end;
  end;
end;

-- What was the page's value until now is that of the other pages only that have it too.
procedure Retire(p: Stretch);
var value: Value;
var heir: Value;
begin
  value := truth[p];
  truth[p] := 0;
  if value = p + 1 then
    heir := 0;
    for q: Stretch do
      if heir = 0 & truth[q] = value then
        heir := q + 1;
      end;
    end;
    Rename(value, heir);
  end;
end;

-- From now on (v, p) has to be what (u, p) is.
procedure Inherit(v: Stretch; u: Stretch);
begin
  if truth[u] > v + 1 then
    Rename(truth[u], v + 1);
  end;
  truth[v] := truth[u];
end;

---------------------------------------------------------------------------------------------------- the network

procedure Send(m: Message);
begin
  if m.dest = m.from then
    assert own_used < OWN "room for what the home says to itself";
    own[own_used] := m;
    own_used := own_used + 1;
  elsif !dead[m.dest] then
    assert flying < NET "the network is bounded";
    net[flying] := m;
    flying := flying + 1;
  end;
end;

procedure Remove(i: Slot);
begin
  for j: Slot do
    if j >= i & j + 1 < flying then
      net[j] := net[j + 1];
    end;
  end;
  flying := flying - 1;
  clear net[flying];
end;

-- A request is over: its number in messages will never again be that of a request under way.
procedure Outdate(n: Node; p: Stretch);
begin
  for i: Slot do
    if i < flying & net[i].page = p
        & (net[i].kind = msg_get ? net[i].from : (net[i].kind = msg_forward ? net[i].requester : net[i].dest)) = n then
      net[i].request := false;
    end;
  end;
  for i := 0 to OWN - 1 do
    if own[i].page = p & (own[i].kind = msg_get ? own[i].from : own[i].dest) = n then
      own[i].request := false;
    end;
  end;
  for i: Aside do
    if deferred[i].page = p & deferred[i].requester = n then
      deferred[i].request := false;
    end;
  end;
  for i: Place do
    if queue[i].page = p & queue[i].from = n then
      queue[i].request := false;
    end;
  end;
  if transactions[p].get.from = n then
    transactions[p].get.request := false;
  end;
end;

---------------------------------------------------------------------------------------------------- the cache side

procedure Ask(n: Node; p: Stretch; write: boolean);
var m: Message;
begin
  assert write | access[n][p] != access_read "only the right to write can be missing where a page is held";
  request[n][p] := true;
  request_write[n][p] := write;
  clear m;
  m.kind := msg_get;
  m.from := n;
  m.dest := HOME;
  m.request := true;
  m.write := write;
  m.have := access[n][p] = access_read;
  m.page := p;
  Send(m);
end;

procedure Concern(n: Node; p: Stretch; txn: Txn);
begin
  if epoch[n][p] < txn then
    epoch[n][p] := txn;
  end;
end;

procedure Drop(n: Node; p: Stretch);
begin
  access[n][p] := access_none;
  frame[n][p] := 0;
end;

-- The node is given a right, or what the floor leaves of it; the frame is there.
procedure Give(n: Node; p: Stretch; write: boolean; txn: Txn);
begin
  access[n][p] := access_read;
  Concern(n, p, txn);
  want_read[n][p] := false;
  if write
      & txn > floor[n][p] -- guard floor
  then
    access[n][p] := access_write;
    want_write[n][p] := false;
  end;
end;

-- Node n sends the page of a forward if it holds it, and gives it up if it is wanted for writing. The message is sent
-- even if it is empty: the requester's done is what ends the transaction.
procedure Supply(n: Node; f: Message);
var m: Message;
begin
  m := f;
  m.kind := msg_data;
  m.from := n;
  m.dest := f.requester;
  m.requester := 0;
  m.mask := Here(n, f.page) & epoch[n][f.page] <= f.txn;
  m.value := m.mask ? frame[n][f.page] : 0;
  if m.mask then
    access[n][f.page] := access_read;
    if f.write then
      Drop(n, f.page);
    end;
  end;
  Concern(n, f.page, f.txn);
  Send(m);
end;

-- The home made this node the owner and goes on from there, but its data has been overtaken.
function OnItsWay(f: Message): boolean;
begin
  return access[f.dest][f.page] = access_none & request[f.dest][f.page];
end;

procedure Defer(f: Message);
begin
  assert deferred[DEFERRED - 1].kind = msg_none "deferred forwards are bounded";
  for i: Aside do
    if deferred[i].kind = msg_none then
      deferred[i] := f;
      return;
    end;
  end;
end;

procedure OnForward(f: Message);
begin
  if OnItsWay(f) then
    Defer(f);
  else
    Supply(f.dest, f);
  end;
end;

-- Forwards that waited for what has come now, or is not coming: they arrive once more.
procedure ServeDeferred(n: Node);
var old: array [Aside] of Message;
begin
  for i: Aside do
    old[i] := deferred[i];
  end;
  clear deferred;
  for i: Aside do
    if old[i].kind != msg_none then
      if old[i].dest = n & !OnItsWay(old[i]) then
        Supply(n, old[i]);
      else
        Defer(old[i]);
      end;
    end;
  end;
end;

function InProgress(m: Message): boolean;
begin
  return transactions[m.page].busy & transactions[m.page].number = m.txn;
end;

-- data or fail for what the home itself fetches. The directory knows whether it is still waited for.
procedure OnFetched(m: Message);
var done: Message;
begin
  if !InProgress(m) then -- guard fetch_number: if false then
    return;
  end;
  clear done;
  done.kind := msg_done;
  done.from := HOME;
  done.dest := HOME;
  done.txn := m.txn;
  done.page := m.page;
  done.mask := m.kind = msg_data & m.mask;
  if done.mask then
    assert access[HOME][m.page] = access_none "data only where nothing is";
    frame[HOME][m.page] := m.value;
    Give(HOME, m.page, false, m.txn);
  end;
  Send(done);
end;

-- data, grant or fail. The request is over; what is still wanted is asked for again.
procedure OnAnswer(m: Message);
var n: Node;
var p: Stretch;
var in_time: boolean;
var done: Message;
begin
  n := m.dest;
  p := m.page;
  if !request[n][p] | !m.request then
    return;
  end;
  in_time := m.kind != msg_fail & epoch[n][p] < m.txn;
  assert m.kind = msg_fail | m.write = request_write[n][p] | n = HOME "the access that was asked for";
  if m.kind = msg_data then
    in_time := in_time & m.mask;
    if in_time then
      assert access[n][p] = access_none "data only where nothing is";
      frame[n][p] := m.value;
    end;
  elsif m.kind = msg_grant then
    in_time := in_time & access[n][p] = access_read;
  elsif m.lost then
    Drop(n, p);
    access[n][p] := access_lost;
  end;
  if m.kind = msg_fail & m.txn = 0 then
    -- Lost, or ended. Threads are woken, and who still lives touches the page again.
    want_read[n][p] := false;
    want_write[n][p] := false;
  end;
  if in_time then
    Give(n, p, m.write, m.txn);
  end;
  request[n][p] := false;
  request_write[n][p] := false;
  Outdate(n, p);
  if (m.kind = msg_fail & m.txn != 0) | (m.kind != msg_fail & m.from != HOME) then
    clear done;
    done.kind := msg_done;
    done.from := n;
    done.dest := HOME;
    done.txn := m.txn;
    done.page := p;
    done.mask := in_time;
    Send(done);
  end;
  ServeDeferred(n);
  if want_read[n][p] | want_write[n][p] then
    Ask(n, p, want_write[n][p]);
  end;
end;

procedure OnInval(m: Message);
var ack: Message;
begin
  if Here(m.dest, m.page) & epoch[m.dest][m.page] <= m.txn then
    Drop(m.dest, m.page);
  end;
  Concern(m.dest, m.page, m.txn);
  ack := m;
  ack.kind := msg_inval_ack;
  ack.from := m.dest;
  ack.dest := HOME;
  Send(ack);
end;

-- From now on a right to write that was given under an older number is one to read.
procedure Lower(n: Node; p: Stretch; number: Txn);
begin
  floor[n][p] := number > floor[n][p] ? number : floor[n][p];
  if access[n][p] = access_write & epoch[n][p] < number then
    access[n][p] := access_read; -- guard freeze_lowers
  end;
end;

procedure OnFreeze(m: Message);
var answer: Message;
begin
  Lower(m.dest, m.page, m.txn);
  answer := m;
  answer.kind := msg_frozen;
  answer.from := m.dest;
  answer.dest := HOME;
  Send(answer);
end;

-- The stretch is over: what was asked for is not wanted any more, nor what comes for it.
procedure ForgetStretch(n: Node; p: Stretch);
begin
  Drop(n, p);
  epoch[n][p] := 0;
  floor[n][p] := 0;
  want_read[n][p] := false;
  want_write[n][p] := false;
  request[n][p] := false; -- guard forget_ends_requests
  request_write[n][p] := false;
  if !request[n][p] then
    Outdate(n, p);
  end;
  for i: Aside do
    if deferred[i].dest = n & deferred[i].page = p then
      clear deferred[i];
    end;
  end;
end;

---------------------------------------------------------------------------------------------------- the directory side

-- The page's only current copy is gone. Not while somebody lives who holds one and has not been told to give it up.
procedure Lose(p: Stretch);
begin
  for n: Node do
    assert !dead[n] & Here(n, p) -> exists i: Slot do
      net[i].dest = n & net[i].page = p & (net[i].kind = msg_inval | (net[i].kind = msg_forward & net[i].write)) end
      "never lost while somebody keeps a copy";
  end;
  lost[p] := true;
  owner[p] := HOME;
  clear sharers[p];
end;

-- The node is a holder no longer. Of several heirs the home is preferred: its copy serves without a hop.
procedure Forget(p: Stretch; node: Node);
begin
  if owner[p] != node then
    sharers[p][node] := false;
    return;
  end;
  for n: Node do
    if sharers[p][n] then
      sharers[p][n] := false;
      owner[p] := n;
      return;
    end;
  end;
  Lose(p);
end;

-- A get that starts anew goes first of those for its page.
procedure Enqueue(get: Get; first: boolean);
var item: Get;
var moved: Get;
begin
  assert !queue[QUEUE - 1].used "the queue is bounded";
  item := get;
  for i: Place do
    if (first & item.used) | !queue[i].used then
      moved := queue[i];
      queue[i] := item;
      item := moved;
    end;
    if !item.used then
      return;
    end;
  end;
end;

procedure Unqueue(i: Place);
begin
  for j: Place do
    if j >= i & j + 1 < QUEUE then
      queue[j] := queue[j + 1];
    end;
  end;
  clear queue[QUEUE - 1];
end;

-- A number for a transaction or a freeze.
procedure Take(var number: Txn);
begin
  assert next_transaction < TXN "numbers are bounded";
  number := next_transaction;
  next_transaction := next_transaction + 1;
end;

-- The home copies the content that a pending page has by its place in the line to a frame of its own.
procedure Settle(p: Stretch; source: Stretch);
var number: Txn;
begin
  assert pending[p] "a page is settled once";
  assert life[p] = live "no page is settled in a stretch that has ended";
  assert Here(HOME, source) & access[HOME][source] != access_write "the home knows what it holds itself";
  assert access[HOME][p] = access_none "nobody holds a pending page";
  pending[p] := false;
  owner[p] := HOME;
  clear sharers[p];
  frame[HOME][p] := frame[HOME][source];
  Take(number);
  Give(HOME, p, false, number);
end;

procedure Commit(t: Transaction; accepted: boolean);
var p: Stretch;
begin
  p := t.get.page;
  if !accepted then
    Forget(p, t.supplier); -- guard heir_serves: Lose(p);
  elsif !t.get.write then
    sharers[p][t.get.from] := true;
  else
    clear sharers[p];
    owner[p] := t.get.from;
  end;
end;

-- No remote copy stands in the way any more. Answers, or asks a third node to answer.
procedure Advance(t: Transaction);
var m: Message;
var p: Stretch;
begin
  p := t.get.page;
  clear m;
  m.from := HOME;
  m.requester := t.get.from;
  m.write := t.get.write;
  m.txn := t.number;
  m.request := t.get.request;
  m.fetch := t.get.fetch;
  m.page := p;
  clear transactions[p];
  if down[t.get.from] then
    return;
  end;
  if !t.upgrade & down[t.supplier] then
    -- It died before it was asked. The get starts anew with whatever copies are left.
    if !t.get.fetch then
      Enqueue(t.get, true);
    end;
    return;
  end;
  -- The home's copy goes last, when only the requester or the supplier has the page beside it.
  if t.get.write & sharers[p][HOME] then
    assert Here(HOME, p) "the home knows what it holds itself";
    sharers[p][HOME] := false;
    Drop(HOME, p);
    Concern(HOME, p, t.number);
  end;
  if t.upgrade then
    m.kind := msg_grant;
    m.dest := t.get.from;
    m.requester := 0;
    Send(m);
  elsif t.supplier = HOME then
    assert Here(HOME, p) "the home supplies what it holds";
    Supply(HOME, m);
    Commit(t, true);
  else
    m.kind := msg_forward;
    m.dest := t.supplier;
    transactions[p] := t;
    transactions[p].phase := answering;
    Send(m);
  end;
end;

procedure Open(opening: Transaction);
var t: Transaction;
var m: Message;
var p: Stretch;
begin
  t := opening;
  p := t.get.page;
  assert !transactions[p].busy "one transaction at a time";
  assert !down[t.get.from] "nothing is begun for the dead";
  t.busy := true;
  Take(t.number);
  given[p][t.get.from] := true; -- guard holder_forgets
  if t.get.write then
    writers[p][t.get.from] := true; -- guard writer_is_frozen
  end;
  if t.upgrade then
    -- It has the bytes, so it is the owner from now on, whoever acknowledges or dies first.
    sharers[p][owner[p]] := true;
    owner[p] := t.get.from;
    sharers[p][t.get.from] := false;
  end;
  transactions[p] := t;
  clear m;
  m.kind := msg_inval;
  m.from := HOME;
  m.txn := t.number;
  m.page := p;
  for n: Node do
    if t.waiting[n] then
      m.dest := n;
      Send(m);
    end;
  end;
end;

-- The home becomes a sharer of the page.
procedure Fetch(p: Stretch);
var t: Transaction;
begin
  clear t;
  t.get.used := true;
  t.get.from := HOME;
  t.get.fetch := true;
  t.get.page := p;
  t.supplier := owner[p];
  Open(t);
end;

-- The page is lost; or there is nothing to be done, since nobody can want it any more, or it is there.
procedure Fail(get: Get; is_lost: boolean);
var m: Message;
begin
  if get.fetch then
    return;
  end;
  clear m;
  m.kind := msg_fail;
  m.from := HOME;
  m.dest := get.from;
  m.request := get.request;
  m.page := get.page;
  m.lost := is_lost;
  Send(m);
end;

-- The remote holders beside `keeper`: those a write has to wait for.
procedure Rivals(p: Stretch; keeper: Node; var set: NodeSet);
begin
  set := sharers[p];
  set[owner[p]] := true;
  set[keeper] := false;
  set[HOME] := false;
end;

function SupplierOf(p: Stretch; write: boolean): Node;
begin
  return !write & Holds(p, HOME) ? HOME : owner[p];
end;

procedure Start(asked: Get);
var get: Get;
var p: Stretch;
var source: Stretch;
var heir: Stretch;
var t: Transaction;
begin
  get := asked;
  p := get.page;
  if life[p] != live then -- guard ended_is_not_served: if !InLine(p) then
    Fail(get, false);
    return;
  end;
  source := Source(p);
  if lost[source] then
    pending[p] := false;
    lost[p] := true; -- guard source_lost
    Fail(get, true);
    return;
  end;
  if pending[p] then
    if !Holds(source, HOME) then
      Fetch(source);
      Enqueue(get, true);
      return;
    end;
    Settle(p, source);
  end;
  if get.fetch then
    return;
  end;
  if get.write & Reader(p) != 0 then -- guard settle_before_write: if false then
    if Holds(p, HOME) then
      heir := Reader(p) - 1;
      -- guard ended_is_passed_over: heir := behind[p] - 1;
      Settle(heir, p);
    elsif get.from = HOME then
      get.write := false;
    else
      Fetch(p);
      Enqueue(get, true);
      return;
    end;
  end;
  -- Of the home counts what it holds now.
  if get.from = HOME then
    get.have := Holds(p, HOME); -- guard home_have
  end;
  if get.have & !get.write then
    Fail(get, false);
    return;
  end;
  assert get.have | !Holds(p, get.from) "who holds a page says so";
  clear t;
  t.get := get;
  t.upgrade := get.have & Holds(p, get.from);
  t.supplier := t.upgrade ? get.from : SupplierOf(p, get.write);
  if get.write then
    Rivals(p, t.supplier, t.waiting);
  end;
  Open(t);
end;

procedure OnGet(from: Message);
var get: Get;
begin
  clear get;
  get.used := true;
  get.from := from.from;
  get.request := from.request;
  get.write := from.write;
  get.have := from.have;
  get.page := from.page;
  for i: Place do
    assert !(queue[i].used & queue[i].page = get.page & queue[i].from = get.from & !queue[i].fetch)
      "one get of a node for a page";
  end;
  Enqueue(get, false);
end;

-- Has the home to wait for a copy of the page's source, which is busy?
function SourceAway(p: Stretch): boolean;
begin
  return transactions[Source(p)].busy & !lost[Source(p)] & !Holds(Source(p), HOME);
end;

-- May the get leave the queue? One for a pending page may have to wait until the source can be fetched, one for writing
-- until the thaw. (A source that is busy serves too: whom it is given to may not write it.)
function Startable(get: Get): boolean;
begin
  return !transactions[get.page].busy
      & (life[get.page] != live | !SourceAway(get.page)) -- guard one_fetch
      & !(get.write & freezes[get.page] > 0) -- guard writes_wait_for_thaw
      & !(get.write & !Empty(freezing[get.page])) -- guard early_thaw
  ;
end;

procedure OnInvalAck(m: Message);
begin
  if InProgress(m) & transactions[m.page].waiting[m.from] then
    transactions[m.page].waiting[m.from] := false;
    sharers[m.page][m.from] := false;
  end;
end;

procedure OnDone(m: Message);
var t: Transaction;
begin
  t := transactions[m.page];
  if InProgress(m) then
    assert m.from = t.get.from & t.phase = answering "done from the requester, once it was given something";
    Commit(t, m.mask);
    clear transactions[m.page];
  end;
end;

procedure BeginFreeze(p: Stretch);
var m: Message;
begin
  Take(freeze[p]);
  for n: Node do
    freezing[p][n] := n != HOME & !down[n] & writers[p][n];
  end;
  clear writers[p];
  clear m;
  m.kind := msg_freeze;
  m.from := HOME;
  m.txn := freeze[p];
  m.page := p;
  for n: Node do
    if freezing[p][n] then
      m.dest := n;
      Send(m);
    end;
  end;
  Lower(HOME, p, freeze[p]); -- guard home_is_frozen
end;

procedure OnFrozen(m: Message);
begin
  if m.txn = freeze[m.page] then
    freezing[m.page][m.from] := false;
  end;
end;

-- The page has no record any more.
procedure Blank(p: Stretch);
begin
  Retire(p);
  pending[p] := true;
  lost[p] := false;
  owner[p] := HOME;
  clear sharers[p];
end;

-- What becomes of a transaction in which the node that died may have a part.
procedure Review(p: Stretch);
var t: Transaction;
var m: Message;
begin
  t := transactions[p];
  if !t.busy | t.phase = invalidating then
    transactions[p].waiting[deceased] := false; -- guard rival_died
  elsif t.get.from = deceased then
    if t.get.write then
      Lose(p);
    end;
    clear transactions[p]; -- guard taker_died
  elsif t.supplier = deceased then
    clear m;
    m.kind := msg_fail;
    m.from := HOME;
    m.dest := t.get.from;
    m.txn := t.number;
    m.request := t.get.request;
    m.fetch := t.get.fetch;
    m.page := p;
    Send(m); -- guard fetch_fails: if !m.fetch then Send(m); end;
  end;
end;

procedure OnNodeDown(node: Node);
var old: array [Place] of Get;
begin
  for i: Place do
    old[i] := queue[i];
  end;
  clear queue;
  for i: Place do
    if old[i].used & old[i].from != node then
      Enqueue(old[i], false);
    end;
  end;
  for p: Stretch do
    sharers[p][node] := false;
    writers[p][node] := false;
    given[p][node] := false;
    freezing[p][node] := false; -- guard dead_is_frozen
    review[p] := transactions[p].busy;
  end;
  deceased := node;
end;

---------------------------------------------------------------------------------------------------- one event

procedure Dispatch(m: Message);
begin
  switch m.kind
  case msg_get:
    OnGet(m);
  case msg_inval_ack:
    OnInvalAck(m);
  case msg_done:
    OnDone(m);
  case msg_forward:
    OnForward(m);
  case msg_inval:
    OnInval(m);
  case msg_freeze:
    OnFreeze(m);
  case msg_frozen:
    OnFrozen(m);
  case msg_forget:
    ForgetStretch(m.dest, m.page);
  else
    if m.fetch then
      OnFetched(m);
    else
      OnAnswer(m);
    end;
  end;
end;

-- Everything that follows from the event at once. What the home gives itself is there before anything else is begun.
procedure Work();
var more: boolean;
var m: Message;
var get: Get;
var next: Place;
var answers: boolean;
begin
  more := true;
  while more do
    more := false;
    answers := false;
    for i := 0 to OWN - 1 do
      answers := answers | own[i].kind = msg_grant | own[i].kind = msg_data;
    end;
    for p: Stretch do
      if !more & !answers & transactions[p].busy & transactions[p].phase = invalidating
          & Empty(transactions[p].waiting) then
        Advance(transactions[p]);
        more := true;
      end;
    end;
    for p: Stretch do
      if !more & !transactions[p].busy & !lost[p] & !pending[p] & down[owner[p]] then
        Forget(p, owner[p]);
        more := true;
      end;
    end;
    for p: Stretch do
      -- What nobody needs goes, where only the home has it.
      if !more & life[p] = ended & !pending[p] & !transactions[p].busy & owner[p] = HOME & Empty(sharers[p])
          & !Needed(p) -- guard needed_stays
      then
        Drop(HOME, p);
        Blank(p);
        more := true;
      end;
    end;
    if !more & !answers then
      for i: Place do
        if queue[i].used & !more & Startable(queue[i]) then
          get := queue[i];
          next := i;
          more := true;
        end;
      end;
      if more then
        Unqueue(next);
        Start(get);
      end;
    end;
    for p: Stretch do
      if !more & !answers & review[p] then
        review[p] := false;
        Review(p);
        more := true;
      end;
    end;
    if !more & own_used > 0 then
      m := own[0];
      for i := 0 to OWN - 2 do
        own[i] := own[i + 1];
      end;
      clear own[OWN - 1];
      own_used := own_used - 1;
      Dispatch(m);
      more := true;
    end;
  end;
  deceased := 0;
end;

-- Does anything on its way, or that may yet be sent, tell this epoch from none?
function EpochMatters(n: Node; p: Stretch): boolean;
begin
  return (exists i: Slot do i < flying & net[i].page = p & net[i].dest = n & net[i].txn <= epoch[n][p] end)
      | (exists i: Aside do deferred[i].page = p & deferred[i].dest = n & deferred[i].txn <= epoch[n][p] end)
      | (transactions[p].busy & transactions[p].number <= epoch[n][p]);
end;

-- The same for a floor.
function FloorMatters(n: Node; p: Stretch): boolean;
begin
  return (exists i: Slot do i < flying & net[i].page = p & net[i].txn < floor[n][p] & net[i].txn != 0
           & (net[i].dest = n & net[i].kind != msg_freeze | net[i].kind = msg_forward & net[i].requester = n) end)
      | (exists i: Aside do deferred[i].page = p & deferred[i].requester = n & deferred[i].txn < floor[n][p] end)
      | (transactions[p].busy & transactions[p].get.from = n & transactions[p].number < floor[n][p]);
end;

-- Numbers are only compared: those in use become 1, 2, 3 ...
procedure Renumber();
var used: array [Txn] of boolean;
var rank: array [Txn] of Txn;
var next: Txn;
begin
  clear used;
  for p: Stretch do
    for n: Node do
      if epoch[n][p] != 0 & !EpochMatters(n, p) then
        epoch[n][p] := 0;
      end;
      if floor[n][p] != 0 & !FloorMatters(n, p) then
        floor[n][p] := 0;
      end;
      used[epoch[n][p]] := true;
      used[floor[n][p]] := true;
    end;
    if Empty(freezing[p]) then
      freeze[p] := 0;
    end;
    used[freeze[p]] := true;
    used[transactions[p].number] := true;
  end;
  for i: Aside do
    used[deferred[i].txn] := true;
  end;
  for i: Slot do
    if i < flying then
      used[net[i].txn] := true;
    end;
  end;
  next := 1;
  for t: Txn do
    rank[t] := t = 0 ? 0 : next;
    if t != 0 & used[t] then
      next := next + 1;
    end;
  end;
  for p: Stretch do
    for n: Node do
      epoch[n][p] := rank[epoch[n][p]];
      floor[n][p] := rank[floor[n][p]];
    end;
    freeze[p] := rank[freeze[p]];
    transactions[p].number := rank[transactions[p].number];
  end;
  for i: Aside do
    deferred[i].txn := rank[deferred[i].txn];
  end;
  for i: Slot do
    if i < flying then
      net[i].txn := rank[net[i].txn];
    end;
  end;
  next_transaction := next;
end;

function Ordinal(kind: MsgType): Rank;
var i: Rank;
begin
  i := 0;
  for k: MsgType do
    if k = kind then
      return i;
    end;
    i := i + 1;
  end;
  return i;
end;

-- Some total order.
function Before(a: Message; b: Message): boolean;
begin
  if a.dest != b.dest then
    return a.dest < b.dest;
  elsif a.kind != b.kind then
    return Ordinal(a.kind) < Ordinal(b.kind);
  elsif a.from != b.from then
    return a.from < b.from;
  elsif a.txn != b.txn then
    return a.txn < b.txn;
  elsif a.page != b.page then
    return a.page < b.page;
  elsif a.requester != b.requester then
    return a.requester < b.requester;
  elsif a.request != b.request then
    return b.request;
  elsif a.fetch != b.fetch then
    return b.fetch;
  elsif a.write != b.write then
    return b.write;
  elsif a.have != b.have then
    return b.have;
  elsif a.lost != b.lost then
    return b.lost;
  elsif a.mask != b.mask then
    return b.mask;
  end;
  return a.value < b.value;
end;

procedure Sort();
var m: Message;
var j: Slot;
begin
  for i: Slot do
    if (i > 0 & i < flying ? Before(net[i], net[i - 1]) : false) then
      m := net[i];
      j := i;
      while (j > 0 ? Before(m, net[j - 1]) : false) do
        net[j] := net[j - 1];
        j := j - 1;
      end;
      net[j] := m;
    end;
  end;
end;

procedure Tidy();
begin
  Renumber();
  Sort();
end;

procedure Finish();
begin
  Work();
  Tidy();
end;

---------------------------------------------------------------------------------------------------- what can happen

startstate "a fresh object"
begin
  clear access;
  clear epoch;
  clear floor;
  clear want_read;
  clear want_write;
  clear frame;
  clear request;
  clear request_write;
  clear deferred;
  clear owner;
  clear sharers;
  clear lost;
  clear queue;
  clear transactions;
  next_transaction := 1;
  clear life;
  clear behind;
  clear freezes;
  clear freeze;
  clear freezing;
  clear writers;
  clear given;
  clear truth;
  for p: Stretch do
    pending[p] := p != 0;
  end;
  life[0] := live;
  access[HOME][0] := access_write;
  frame[HOME][0] := 1;
  truth[0] := 1;
  clear dead;
  clear down;
  deaths := 0;
  begun := 0;
  ends := 0;
  emptied := 0;
  faults := 0;
  clear net;
  flying := 0;
  clear own;
  own_used := 0;
  clear review;
  deceased := 0;
end;

-- A thread touches a page that its mapping does not allow, and waits.
ruleset n: Node; p: Stretch; write: boolean do
  rule "Fault"
    !dead[n] & life[p] = live & (access[n][p] = access_none | (access[n][p] = access_read & write))
    & !(write ? want_write[n][p] : want_read[n][p]) & (FAULTS = 0 | faults < FAULTS)
  ==>
  begin
    faults := FAULTS = 0 ? 0 : faults + 1;
    if write then
      want_write[n][p] := true;
    else
      want_read[n][p] := true;
    end;
    if !request[n][p] then
      Ask(n, p, write);
    end;
    Finish();
  end;
end;

-- A thread writes to a page that it may write. Nothing else is the page's value from now on.
ruleset n: Node; p: Stretch do
  rule "Store"
    !dead[n] & access[n][p] = access_write & life[p] = live
    & ((exists m: Node do exists q: Stretch do !(m = n & q = p) & frame[m][q] = truth[p] end end)
       | (exists q: Stretch do q != p & truth[q] = truth[p] end)
       | (exists i: Slot do i < flying & net[i].value = truth[p] end))
  ==>
  begin
    Retire(p);
    truth[p] := p + 1;
    frame[n][p] := p + 1;
    Tidy();
  end;
end;

-- Somebody wants a snapshot.
ruleset u: Stretch do
  rule "Freeze"
    life[u] = live & freezes[u] < FREEZERS & begun < FREEZES
  ==>
  begin
    begun := begun + 1;
    freezes[u] := freezes[u] + 1;
    if freezes[u] = 1 & Empty(freezing[u]) then
      BeginFreeze(u);
    end;
    Finish();
  end;
end;

-- The instant, at any moment while the stretch is frozen. (More than one snapshot does no harm.)
ruleset u: Stretch; v: Stretch do
  rule "Snapshot"
    freezes[u] > 0 & life[v] = unused & (forall w: Stretch do life[w] = unused -> v <= w end)
    & Empty(freezing[u]) -- guard every_frozen
  ==>
  var last: Stretch;
  begin
    last := u;
    -- guard directly_behind: while behind[last] != 0 do last := behind[last] - 1; end;
    life[v] := live;
    Inherit(v, u);
    behind[v] := behind[last];
    behind[last] := v + 1;
    Finish();
  end;
end;

-- After the instant, or instead of it.
ruleset u: Stretch do
  rule "Thaw"
    freezes[u] > 0
  ==>
  begin
    freezes[u] := freezes[u] - 1;
    Finish();
  end;
end;

-- No task maps the stretch any more; what it asked for may still be on its way.
ruleset v: Stretch do
  rule "End"
    life[v] = live & freezes[v] = 0 & ends < ENDS
  ==>
  begin
    ends := ends + 1;
    life[v] := ended;
    Finish();
  end;
end;

-- What has ended leaves the line when no page of it is needed, this one or one that is not in the model.
ruleset v: Stretch do
  rule "Leave"
    life[v] = ended
    & !Needed(v) -- guard needed_in_line
    & !transactions[v].busy -- guard leave_idle
  ==>
  var m: Message;
  begin
    for q: Stretch do
      if behind[q] = v + 1 then
        behind[q] := behind[v];
      end;
    end;
    behind[v] := 0;
    life[v] := gone;
    clear m;
    m.kind := msg_forget;
    m.from := HOME;
    m.page := v;
    for n: Node do
      if n != HOME & given[v][n] then
        m.dest := n;
        Send(m);
      end;
    end;
    ForgetStretch(HOME, v);
    Blank(v);
    clear given[v];
    clear writers[v];
    clear freezing[v];
    Finish();
  end;
end;

-- Too much has ended: the home asks for what reads through to it.
ruleset v: Stretch do
  rule "Empty"
    life[v] = ended & Needed(v) & emptied < EMPTIED
  ==>
  var get: Get;
  begin
    emptied := emptied + 1;
    clear get;
    get.used := true;
    get.from := HOME;
    get.fetch := true;
    get.page := Reader(v) - 1;
    Enqueue(get, false);
    Finish();
  end;
end;

-- Everything a dead node took part in has been concluded without it; data alone may still be of use, since the home
-- waits for the requester to say whether it came.
ruleset i: Slot do
  rule "Deliver"
    i < flying & (i > 0 -> net[i] != net[i > 0 ? i - 1 : 0])
  ==>
  var m: Message;
  begin
    m := net[i];
    Remove(i);
    if m.dest != HOME | !down[m.from] | m.kind = msg_data then
      own[0] := m;
      own_used := 1;
    end;
    Finish();
  end;
end;

-- What a dead node has sent may also never arrive.
ruleset i: Slot do
  rule "Vanish"
    i < flying & dead[net[i].from] & (i > 0 -> net[i] != net[i > 0 ? i - 1 : 0])
  ==>
  begin
    Remove(i);
    Tidy();
  end;
end;

-- Only one node dies, and all but the home are alike: so it may be the last one.
ruleset n: Node do
  rule "Die"
    deaths < DEATHS & !dead[n] & n = NODES - 1
  ==>
  begin
    deaths := deaths + 1;
    dead[n] := true;
    for p: Stretch do
      Outdate(n, p);
    end;
    for i: Aside do
      if deferred[i].dest = n then
        clear deferred[i];
      end;
    end;
    clear access[n];
    clear epoch[n];
    clear floor[n];
    clear want_read[n];
    clear want_write[n];
    clear frame[n];
    clear request[n];
    clear request_write[n];
    for k: Slot do
      -- From the last to the first, because those behind move up.
      if NET - 1 - k < flying then
        if net[NET - 1 - k].dest = n then
          Remove(NET - 1 - k);
        end;
      end;
    end;
    Tidy();
  end;
end;

-- The others need not be told.
ruleset n: Node do
  rule "Notice"
    dead[n] & !down[n]
  ==>
  begin
    down[n] := true;
    OnNodeDown(n);
    Finish();
  end;
end;

---------------------------------------------------------------------------------------------------- what has to hold

invariant "single writer or many readers"
  forall p: Stretch do forall n: Node do
    InLine(p) & access[n][p] = access_write -> forall m: Node do m != n -> !Here(m, p) end
  end end;

-- The last write to the stretch; before the first, what its parent was at the instant.
invariant "who may read sees the last write"
  forall n: Node do forall p: Stretch do
    InLine(p) & Here(n, p) -> frame[n][p] = truth[p]
  end end;

invariant "line: a pending page reads through to its value"
  forall p: Stretch do
    life[p] = live & pending[p] -> truth[p] = truth[Source(p)]
  end;

invariant "write rule: what others read through to is not written"
  forall p: Stretch do forall n: Node do
    InLine(p) & access[n][p] = access_write -> Reader(p) = 0
  end end;

invariant "nobody holds a pending page"
  forall p: Stretch do
    InLine(p) & pending[p] -> !transactions[p].busy & forall n: Node do !Here(n, p) end
  end;

invariant "frozen: nobody writes"
  forall p: Stretch do
    Frozen(p) -> forall n: Node do access[n][p] != access_write end
  end;

-- Has the home sent the node a copy that will be accepted?
function Coming(n: Node; p: Stretch): boolean;
begin
  return exists i: Slot do net[i].kind = msg_data & net[i].dest = n & net[i].from = HOME
    & net[i].request & net[i].txn > epoch[n][p] & net[i].page = p end;
end;

invariant "exact: the live holders are the owner and the sharers"
  forall p: Stretch do
    InLine(p) & !transactions[p].busy & !lost[p] & !pending[p] -> forall n: Node do
      !dead[n] -> Holds(p, n) = (Here(n, p) | Coming(n, p))
    end
  end;

invariant "exact: who holds a page in transaction is owner, sharer or requester"
  forall p: Stretch do
    transactions[p].busy -> forall n: Node do Here(n, p) -> Holds(p, n) | transactions[p].get.from = n end
  end;

invariant "exclusive: who may write is the owner, without sharers"
  forall p: Stretch do
    InLine(p) & !transactions[p].busy & !lost[p] -> forall n: Node do
      access[n][p] = access_write -> owner[p] = n & Empty(sharers[p])
    end
  end;

invariant "quiet: about an idle page only gets and what the home sent are on their way"
  deaths > 0 | forall i: Slot do
    i < flying & (net[i].kind = msg_inval | net[i].kind = msg_inval_ack | net[i].kind = msg_forward
        | net[i].kind = msg_done | (net[i].kind = msg_data & net[i].from != HOME))
      -> transactions[net[i].page].busy
  end;

invariant "lost only after a death"
  deaths > 0 | forall p: Stretch do
    !lost[p] & forall n: Node do access[n][p] != access_lost end
  end;

invariant "who remembers a loss is right"
  forall p: Stretch do forall n: Node do
    life[p] = live & access[n][p] = access_lost -> lost[p]
  end end;

-- Nothing is on its way, and the home has been told of every death.
function Quiet(): boolean;
begin
  return flying = 0 & forall n: Node do dead[n] -> down[n] end;
end;

-- Whose own request waits for one keeps what it put aside, which nobody needs any more then.
invariant "when all is quiet nobody waits, but for a thaw"
  Quiet() -> (forall n: Node do forall p: Stretch do
      (!request[n][p] & !want_read[n][p] & !want_write[n][p]) | (freezes[p] > 0 & request_write[n][p])
    end end)
    & (forall i: Aside do deferred[i].kind = msg_none | (dead[deferred[i].requester]
        & freezes[deferred[i].page] > 0 & request_write[deferred[i].dest][deferred[i].page]) end)
    & (forall i: Place do !queue[i].used | (queue[i].write & freezes[queue[i].page] > 0) end);

invariant "when all is quiet no transaction is open and nobody has to freeze"
  Quiet() -> forall p: Stretch do !transactions[p].busy & Empty(freezing[p]) end;

invariant "when all is quiet nobody holds a lost page"
  Quiet() -> forall p: Stretch do lost[p] -> forall n: Node do !Here(n, p) end end;

invariant "when all is quiet an ended stretch has only what is needed or other nodes hold"
  Quiet() -> forall p: Stretch do
    life[p] = ended & !pending[p] -> Needed(p) | exists n: Node do n != HOME & Holds(p, n) end
  end;

invariant "when all is quiet nobody has anything of a stretch that is gone"
  Quiet() -> forall p: Stretch do
    life[p] = gone -> !request[HOME][p] & forall n: Node do access[n][p] = access_none end
  end;
