-- SPDX-License-Identifier: BSD-3-Clause
-- The coherence protocol of one memory object, as docs/coherence.md specifies it, with the network, the threads and the
-- deaths around it. README.md in this folder says what is modelled and how, and what "guard" at a line's end means.

const
  NODES: 3;    -- at least 2
  PAGES: 1;
  DEATHS: 1;   -- how many nodes may crash
  FENCES: 0;   -- how many may be taken for dead and shut out while they go on
  REJOINS: 0;  -- how often one that crashed or was shut out may come back, as somebody new
  FAULTS: 0;   -- how many page faults there may be; 0: any number
  RELEASES: 1; -- how often a node may wish to be rid of pages
  REPEATS: 0;  -- how often a message may come twice (not a get, nor a forward)
  NET: 10;     -- how many messages can be on their way; that it is enough is checked, as are the next four
  TXN: 10;
  QUEUE: 5;
  DEFERRED: 2;
  OWN: 4;
  HOME: 0;

type
  Node: 0 .. NODES - 1;
  NodeSet: array [Node] of boolean;
  Page: 0 .. PAGES - 1;
  PageSet: array [Page] of boolean;
  Count: 0 .. PAGES;
  Txn: 0 .. TXN;      -- 0: none
  Life: 0 .. REJOINS; -- incarnation
  Slot: 0 .. NET - 1;
  Place: 0 .. QUEUE - 1;
  Aside: 0 .. DEFERRED - 1;

  Status: enum {up, fenced, dead};
  Access: enum {access_none, access_read, access_write, access_lost};
  MsgType: enum {msg_none, msg_get, msg_forward, msg_inval, msg_inval_ack, msg_data, msg_grant, msg_done, msg_fail,
                 msg_release};
  Phase: enum {invalidating, answering};

  -- A request's number is only ever compared with that of the request under way: `request` says whether it is the same.
  Message: record
    kind: MsgType;
    from: Node;
    dest: Node;
    life: Life;         -- of the sender
    dest_life: Life;    -- of the receiver, as the sender knows it
    write: boolean;
    have: boolean;
    lost: boolean;
    request: boolean;
    requester: Node;
    count: Count;
    txn: Txn;
    base: Page;
    mask: PageSet;      -- the pages themselves, not counted from base
    current: PageSet;   -- data: the payload is the last write
  end;

  Get: record
    used: boolean;
    from: Node;
    request: boolean;
    write: boolean;
    have: boolean;
    release: boolean;
    base: Page;
    count: Count;
  end;

  Transaction: record
    busy: boolean;
    number: Txn;
    get: Get;
    mask: PageSet;
    waiting: NodeSet;
    supplier: Node;
    phase: Phase;
    upgrade: boolean;
  end;

var
  -- Cache side, by node and page.
  access: array [Node] of array [Page] of Access;
  epoch: array [Node] of array [Page] of Txn;
  want_read: array [Node] of array [Page] of boolean;
  want_write: array [Node] of array [Page] of boolean;
  current: array [Node] of array [Page] of boolean;       -- the frame is the last write
  request: array [Node] of array [Page] of Count;         -- under way, by base: how many pages; 0: none
  request_write: array [Node] of array [Page] of boolean;
  deferred: array [Aside] of Message;                     -- forwards of all nodes, in order of arrival
  -- Directory side, by page; transactions by base.
  owner: array [Page] of Node;
  sharers: array [Page] of NodeSet;
  lost: array [Page] of boolean;
  queue: array [Place] of Get;                            -- of all pages, in order of arrival
  transactions: array [Page] of Transaction;
  next_transaction: Txn;
  -- Membership.
  status: array [Node] of Status;
  down: array [Node] of NodeSet;                          -- down[n][d]: n has been told that d is dead
  life: array [Node] of Life;
  deaths: 0 .. DEATHS;
  fences: 0 .. FENCES;
  rejoins: 0 .. REJOINS;
  faults: 0 .. FAULTS;
  releases: 0 .. RELEASES;
  repeats: 0 .. REPEATS;
  -- The network: a multiset, kept sorted so that it looks the same however it came about.
  net: array [Slot] of Message;
  flying: 0 .. NET;
  -- What is still to be done before the event is over: empty between events.
  own: array [0 .. OWN - 1] of Message;                   -- messages for the node that handles the event
  own_used: 0 .. OWN;
  review: PageSet;                                        -- transactions to be looked at because `gone` died
  gone: Node;

---------------------------------------------------------------------------------------------------- small things

function Here(n: Node; p: Page): boolean;
begin
  return access[n][p] = access_read | access[n][p] = access_write;
end;

-- Is a request of n under way that covers the page?
function Pending(n: Node; p: Page): boolean;
begin
  return exists b: Page do b <= p & p < b + request[n][b] end;
end;

function Busy(p: Page): boolean;
begin
  return exists b: Page do transactions[b].mask[p] end;
end;

function Holds(p: Page; n: Node): boolean;
begin
  return owner[p] = n | sharers[p][n];
end;

function Empty(s: NodeSet): boolean;
begin
  return forall n: Node do !s[n] end;
end;

function SomeoneDied(): boolean;
begin
  return deaths > 0 | fences > 0;
end;

---------------------------------------------------------------------------------------------------- the network

-- To a node that is gone nothing need be sent, except that what is under way may meet the node's next life.
procedure Send(m: Message);
begin
  if m.dest = m.from then
    assert own_used < OWN "room for what the home says to itself";
    own[own_used] := m;
    own_used := own_used + 1;
  elsif !down[m.from][m.dest] & (status[m.dest] != dead | (rejoins < REJOINS & m.dest != HOME)) then
    assert flying < NET "the network is bounded";
    net[flying] := m;
    net[flying].life := life[m.from];
    net[flying].dest_life := life[m.dest];
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
procedure Outdate(n: Node; b: Page);
begin
  for i: Slot do
    if i < flying & net[i].base = b
        & (net[i].kind = msg_get ? net[i].from : (net[i].kind = msg_forward ? net[i].requester : net[i].dest)) = n then
      net[i].request := false;
    end;
  end;
  for i: Aside do
    if deferred[i].base = b & deferred[i].requester = n then
      deferred[i].request := false;
    end;
  end;
  for i: Place do
    if queue[i].base = b & queue[i].from = n then
      queue[i].request := false;
    end;
  end;
  if transactions[b].get.from = n then
    transactions[b].get.request := false;
  end;
end;

---------------------------------------------------------------------------------------------------- the cache side

procedure Ask(n: Node; page: Page; write: boolean; window: Count);
var m: Message;
var count: Count;
begin
  assert write | access[n][page] != access_read "only the right to write can be missing where a page is held";
  count := 1;
  for p: Page do
    if p = page + count & count < window & !Pending(n, p) & access[n][p] = access[n][page] then
      count := count + 1;
    end;
  end;
  request[n][page] := count;
  request_write[n][page] := write;
  clear m;
  m.kind := msg_get;
  m.from := n;
  m.dest := HOME;
  m.request := true;
  m.write := write;
  m.have := access[n][page] = access_read;
  m.count := count;
  m.base := page;
  Send(m);
end;

procedure Concern(n: Node; p: Page; txn: Txn);
begin
  if epoch[n][p] < txn then
    epoch[n][p] := txn;
  end;
end;

procedure Drop(n: Node; p: Page);
begin
  access[n][p] := access_none;
  current[n][p] := false;
end;

-- Node n sends the pages of a forward that it holds, and gives them up if they are wanted for writing. The message is
-- sent even if it is empty: the requester's done is what ends the transaction.
procedure Supply(n: Node; f: Message);
var m: Message;
begin
  m := f;
  m.kind := msg_data;
  m.from := n;
  m.dest := f.requester;
  m.requester := 0;
  for p: Page do
    if f.mask[p] then
      m.mask[p] := Here(n, p)
          & epoch[n][p] <= f.txn
      ;
      m.current[p] := m.mask[p] & current[n][p];
      if m.mask[p] then
        access[n][p] := access_read; -- guard supply_protects
        if f.write then
          Drop(n, p); -- guard supply_drops
        end;
      end;
      Concern(n, p, f.txn); -- guard forward_concerns
    end;
  end;
  Send(m);
end;

-- The home made this node the owner and goes on from there, but its data has been overtaken.
function OnItsWay(f: Message): boolean;
begin
  return exists p: Page do f.mask[p] & access[f.dest][p] = access_none & Pending(f.dest, p) end;
end;

procedure Defer(f: Message);
begin
  assert deferred[DEFERRED - 1].kind = msg_none "deferred forwards are bounded";
  for i: Aside do
    -- A requester that has come back is somebody else, which a forward does not say.
    assert rejoins > 0 | deferred[i].kind = msg_none | deferred[i].dest != f.dest
        | deferred[i].requester != f.requester | (forall p: Page do !(deferred[i].mask[p] & f.mask[p]) end)
      "one for each page and requester";
  end;
  for i: Aside do
    if deferred[i].kind = msg_none then
      deferred[i] := f;
      return;
    end;
  end;
end;

procedure OnForward(f: Message);
begin
  if OnItsWay(f) then -- guard deferral: if false then
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

-- data, grant or fail. The request is over; what is still wanted is asked for again, each page by itself.
procedure OnAnswer(m: Message);
var n: Node;
var count: Count;
var in_time: boolean;
var accepted: PageSet;
var done: Message;
begin
  n := m.dest;
  count := request[n][m.base];
  clear done;
  done.kind := msg_done;
  done.from := n;
  done.dest := HOME;
  done.txn := m.txn;
  done.base := m.base;
  if count = 0
      | !m.request -- guard request_number
  then
    -- guard answered_once: if m.kind = msg_fail & !m.lost then Send(done); end;
    return;
  end;
  assert m.kind = msg_fail | m.write = request_write[n][m.base] "the access that was asked for";
  for p: Page do
    assert m.mask[p] -> p >= m.base & p < m.base + count "only what was asked for";
    in_time := m.mask[p];
    if m.kind = msg_data then
      assert m.mask[p] -> access[n][p] = access_none "data only where nothing is";
      in_time := in_time
          & epoch[n][p] < m.txn -- guard data_epoch
      ;
      if in_time then
        current[n][p] := m.current[p];
      end;
    elsif m.kind = msg_grant then
      in_time := in_time
          & epoch[n][p] < m.txn -- guard grant_epoch
          & access[n][p] = access_read
      ;
    else
      if m.lost & m.mask[p] then
        Drop(n, p);
        access[n][p] := access_lost;
        want_read[n][p] := false;
        want_write[n][p] := false;
      end;
      in_time := false;
    end;
    if in_time then
      access[n][p] := m.write ? access_write : access_read;
      Concern(n, p, m.txn); -- guard answer_concerns
      want_read[n][p] := false;
      want_write[n][p] := want_write[n][p] & !m.write;
    end;
    done.mask[p] := in_time;
  end;
  request[n][m.base] := 0;
  request_write[n][m.base] := false;
  Outdate(n, m.base);
  -- The home waits for word of what it did not send itself, and of failures.
  if (m.kind = msg_fail & !m.lost)
      | m.from != HOME -- guard done_for_third_node
  then
    Send(done);
  end;
  -- guard done_only_for_third_node: if m.kind = msg_data & m.from = HOME then Send(done); end;
  ServeDeferred(n); -- guard deferred_served
  for p: Page do
    if p >= m.base & p < m.base + count & (want_read[n][p] | want_write[n][p]) & !Pending(n, p) then
      Ask(n, p, want_write[n][p], 1); -- guard ask_again
    end;
  end;
end;

procedure OnInval(m: Message);
var ack: Message;
begin
  for p: Page do
    if m.mask[p] then
      if Here(m.dest, p)
          & epoch[m.dest][p] <= m.txn -- guard inval_epoch
      then
        Drop(m.dest, p); -- guard inval_drops
      end;
      Concern(m.dest, p, m.txn); -- guard inval_concerns
    end;
  end;
  ack := m;
  ack.kind := msg_inval_ack;
  ack.from := m.dest;
  ack.dest := HOME;
  Send(ack);
end;

procedure OnHomeDown(n: Node);
begin
  for i: Aside do
    if deferred[i].dest = n then
      clear deferred[i]; -- guard home_down_deferred
    end;
  end;
  for b: Page do
    for p: Page do
      if p >= b & p < b + request[n][b] then
        want_read[n][p] := false;
        want_write[n][p] := false;
      end;
    end;
    request[n][b] := 0;
    request_write[n][b] := false;
    Outdate(n, b);
  end;
end;

---------------------------------------------------------------------------------------------------- the directory side

-- The page's only current copy is gone. Not while somebody lives who holds one and has not been told to give it up.
procedure Lose(p: Page);
begin
  for n: Node do
    assert status[n] = up & Here(n, p) -> exists i: Slot do
      net[i].dest = n & net[i].mask[p] & (net[i].kind = msg_inval | (net[i].kind = msg_forward & net[i].write)) end
      "never lost while somebody keeps a copy";
  end;
  lost[p] := true;
  owner[p] := HOME;
  clear sharers[p];
end;

-- The node is a holder no longer. Of several heirs the home is preferred: its copy serves without a hop.
procedure Forget(p: Page; node: Node);
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

procedure Commit(t: Transaction; p: Page; accepted: boolean);
begin
  if !accepted then
    Forget(p, t.supplier);
  elsif !t.get.write then
    sharers[p][t.get.from] := true; -- guard reader_is_sharer
  else
    clear sharers[p];
    owner[p] := t.get.from;
  end;
end;

-- No remote copy stands in the way any more. Answers, or asks a third node to answer.
procedure Advance(t: Transaction);
var m: Message;
begin
  clear m;
  m.from := HOME;
  m.requester := t.get.from;
  m.write := t.get.write;
  m.txn := t.number;
  m.request := t.get.request;
  m.base := t.get.base;
  m.mask := t.mask;
  clear transactions[t.get.base];
  if down[HOME][t.get.from] then -- guard requester_died: if false then
    return; -- guard requester_died:
  end;
  assert !down[HOME][t.get.from] "nothing is given up for the dead";
  if t.get.release then
    Forget(t.get.base, t.get.from);
    return;
  end;
  if !t.upgrade
      & down[HOME][t.supplier] -- guard supplier_died: & false
  then
    -- It died before it was asked. The get starts anew with whatever copies are left.
    Enqueue(t.get, true);
    return;
  end;
  -- The home's copy goes last, when only the requester or the supplier has the page beside it.
  for p: Page do
    if t.mask[p] & t.get.write & sharers[p][HOME] then
      assert Here(HOME, p) "the home knows what it holds itself";
      sharers[p][HOME] := false;
      Drop(HOME, p); -- guard own_copy_drops
      Concern(HOME, p, t.number);
    end;
  end;
  if t.upgrade then
    m.kind := msg_grant;
    m.dest := t.get.from;
    m.requester := 0;
    Send(m);
  elsif t.supplier = HOME then
    assert forall p: Page do t.mask[p] -> Here(HOME, p) end "the home supplies what it holds";
    Supply(HOME, m);
    for p: Page do
      if t.mask[p] then
        Commit(t, p, true); -- guard home_supply_recorded
      end;
    end;
  else
    m.kind := msg_forward;
    m.dest := t.supplier;
    transactions[t.get.base] := t;
    transactions[t.get.base].phase := answering;
    Send(m);
  end;
end;

-- The remote holders beside `keeper`: those a write has to wait for.
procedure Rivals(p: Page; keeper: Node; var set: NodeSet);
begin
  set := sharers[p];
  set[owner[p]] := true;
  set[keeper] := false;
  set[HOME] := false;
end;

function SupplierOf(p: Page; write: boolean): Node;
begin
  return !write & Holds(p, HOME) ? HOME : owner[p];
end;

-- Can the messages of the transaction serve one more page?
function Fits(t: Transaction; p: Page): boolean;
var others: NodeSet;
begin
  if Busy(p) | lost[p] then
    return false;
  end;
  if exists i: Place do queue[i].used & queue[i].base = p end then -- guard extras_queue: if false then
    return false;
  end;
  if Holds(p, t.get.from) != t.upgrade then -- guard extras_class: if false then
    return false;
  end;
  if !t.upgrade
      & SupplierOf(p, t.get.write) != t.supplier -- guard extras_supplier: & false
  then
    return false;
  end;
  Rivals(p, t.supplier, others);
  return !t.get.write
      | others = t.waiting -- guard extras_rivals: | true
  ;
end;

procedure Open(opening: Transaction);
var t: Transaction;
var m: Message;
begin
  t := opening;
  assert !Busy(t.get.base) "one transaction at a time";
  assert next_transaction < TXN "numbers are bounded";
  assert !down[HOME][t.get.from] "nothing is begun for the dead";
  t.busy := true;
  t.number := next_transaction;
  next_transaction := next_transaction + 1;
  t.mask[t.get.base] := true;
  for p: Page do
    if p > t.get.base & p < t.get.base + t.get.count & Fits(t, p) then
      assert !(exists i: Place do queue[i].used & queue[i].base = p end) "first come, first served";
      t.mask[p] := true;
    end;
  end;
  for p: Page do
    if t.mask[p] & t.upgrade then
      -- It has the bytes, so it is the owner from now on, whoever acknowledges or dies first.
      sharers[p][owner[p]] := true;
      owner[p] := t.get.from;
      sharers[p][t.get.from] := false;
    end;
  end;
  transactions[t.get.base] := t;
  clear m;
  m.kind := msg_inval;
  m.from := HOME;
  m.txn := t.number;
  m.base := t.get.base;
  m.mask := t.mask;
  for n: Node do
    if t.waiting[n] then
      m.dest := n;
      Send(m);
    end;
  end;
end;

procedure Start(get: Get);
var p: Page;
var t: Transaction;
var m: Message;
begin
  p := get.base;
  clear t;
  t.get := get;
  if get.release then
    if lost[p] | !Holds(p, get.from) then
      return;
    end;
    if Holds(p, HOME) then -- guard removal_needs_heir: if true then
      t.supplier := get.from;
      t.waiting[get.from] := true;
      Open(t);
    elsif !Pending(HOME, p) then
      Ask(HOME, p, true, 1);
    end;
    return;
  end;
  if !get.have & Holds(p, get.from) then
    Forget(p, get.from);
  end;
  if lost[p] then
    clear m;
    m.kind := msg_fail;
    m.from := HOME;
    m.dest := get.from;
    m.lost := true;
    m.request := get.request;
    m.base := p;
    m.mask[p] := true;
    Send(m);
    return;
  end;
  t.upgrade := get.have
      & Holds(p, get.from) -- guard upgrade_needs_record
  ;
  t.supplier := t.upgrade ? get.from : SupplierOf(p, get.write);
  if get.write then
    Rivals(p, t.supplier, t.waiting); -- guard invalidate
  end;
  Open(t);
end;

-- A get, or the wish to be rid of a page: to its place in the queue, where it does not stay unless the page is busy.
procedure Accept(from: Message; p: Page);
var get: Get;
begin
  clear get;
  get.used := true;
  get.from := from.from;
  get.request := from.request;
  get.write := from.write;
  get.have := from.have;
  get.release := from.kind = msg_release;
  get.base := p;
  get.count := get.release ? 1 : from.count;
  for i: Place do
    if queue[i].used & queue[i].base = p & queue[i].from = get.from & queue[i].release = get.release then
      assert get.release "one get of a node for a page";
      return;
    end;
  end;
  Enqueue(get, false);
end;

function InProgress(m: Message): boolean;
begin
  return transactions[m.base].busy
      & transactions[m.base].number = m.txn -- guard transaction_number
  ;
end;

procedure OnInvalAck(m: Message);
begin
  if InProgress(m) & transactions[m.base].waiting[m.from] then
    transactions[m.base].waiting[m.from] := false;
    -- guard every_ack: clear transactions[m.base].waiting;
    for p: Page do
      if transactions[m.base].mask[p] then
        sharers[p][m.from] := false; -- guard acknowledged_is_gone
      end;
    end;
  end;
end;

procedure OnDone(m: Message);
var t: Transaction;
begin
  t := transactions[m.base];
  if InProgress(m) then
    assert m.from = t.get.from & t.phase = answering "done from the requester, once it was given something";
    for p: Page do
      assert m.mask[p] -> t.mask[p] "done for the transaction's pages";
      if t.mask[p] then
        Commit(t, p, m.mask[p]);
      end;
    end;
    clear transactions[m.base];
  end;
end;

-- What becomes of a transaction in which the node that died may have a part. Even without a requester the invalidations
-- under way have to be waited for: they will take effect.
procedure Review(b: Page);
var t: Transaction;
var m: Message;
begin
  t := transactions[b];
  -- guard wait_though_requester_died: if t.busy & t.get.from = gone then clear transactions[b]; return; end;
  if !t.busy | t.phase = invalidating then
    transactions[b].waiting[gone] := false; -- guard dead_acknowledge
  elsif t.get.from = gone then
    for p: Page do
      if t.mask[p] & t.get.write then
        Lose(p); -- guard abandoned_write_is_lost
      end;
    end;
    clear transactions[b]; -- guard abandoned_is_over
  elsif t.supplier = gone then
    clear m;
    m.kind := msg_fail;
    m.from := HOME;
    m.dest := t.get.from;
    m.txn := t.number;
    m.request := t.get.request;
    m.base := b;
    m.mask := t.mask;
    Send(m); -- guard fail_when_supplier_died
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
    if old[i].used
        & old[i].from != node -- guard drop_queued
    then
      Enqueue(old[i], false);
    end;
  end;
  for p: Page do
    sharers[p][node] := false; -- guard dead_sharer
    review[p] := transactions[p].busy;
  end;
  gone := node;
end;

---------------------------------------------------------------------------------------------------- one event

procedure Dispatch(m: Message);
begin
  switch m.kind
  case msg_get:
    Accept(m, m.base);
  case msg_release:
    for p: Page do
      if m.mask[p] then
        Accept(m, p);
      end;
    end;
  case msg_inval_ack:
    OnInvalAck(m);
  case msg_done:
    OnDone(m);
  case msg_forward:
    OnForward(m);
  case msg_inval:
    OnInval(m);
  else
    OnAnswer(m);
  end;
end;

-- Everything that follows from the event at once. A record never keeps a dead owner, unless its page is busy: only when
-- the transaction is over is it known what the owner's last messages achieved.
procedure Work();
var more: boolean;
var m: Message;
var get: Get;
var next: Place;
var grants: boolean;
begin
  more := true;
  while more do
    more := false;
    grants := false;
    for i := 0 to OWN - 1 do
      grants := grants | own[i].kind = msg_grant;
    end;
    for p: Page do
      if !more & !grants & transactions[p].busy & transactions[p].phase = invalidating
          & Empty(transactions[p].waiting) then
        Advance(transactions[p]);
        more := true;
      end;
    end;
    for p: Page do
      if !more & !Busy(p) & !lost[p] & down[HOME][owner[p]] then
        Forget(p, owner[p]); -- guard dead_owner
        more := true; -- guard dead_owner
      end;
    end;
    if !more & !grants then
      for i: Place do
        if queue[i].used & !more
            & !Busy(queue[i].base) -- guard one_at_a_time
        then
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
    for p: Page do
      if !more & !grants & review[p] then
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
  gone := 0;
end;

-- Does anything on its way, or that may yet be sent, tell this epoch from none?
function Matters(n: Node; p: Page): boolean;
begin
  for i: Slot do
    if i < flying & net[i].dest = n & net[i].mask[p] & net[i].txn <= epoch[n][p] then
      return true;
    end;
  end;
  for i: Aside do
    if deferred[i].dest = n & deferred[i].mask[p] & deferred[i].txn <= epoch[n][p] then
      return true;
    end;
  end;
  for b: Page do
    if transactions[b].mask[p] & transactions[b].number <= epoch[n][p] then
      return true;
    end;
  end;
  return false;
end;

-- Transaction numbers are only compared: those in use become 1, 2, 3 ...
procedure Renumber();
var used: array [Txn] of boolean;
var rank: array [Txn] of Txn;
var next: Txn;
begin
  clear used;
  for n: Node do
    for p: Page do
      if epoch[n][p] != 0 & !Matters(n, p) then
        epoch[n][p] := 0;
      end;
      used[epoch[n][p]] := true;
    end;
  end;
  for i: Aside do
    used[deferred[i].txn] := true;
  end;
  for b: Page do
    used[transactions[b].number] := true;
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
  for n: Node do
    for p: Page do
      epoch[n][p] := rank[epoch[n][p]];
    end;
  end;
  for i: Aside do
    deferred[i].txn := rank[deferred[i].txn];
  end;
  for b: Page do
    transactions[b].number := rank[transactions[b].number];
  end;
  for i: Slot do
    if i < flying then
      net[i].txn := rank[net[i].txn];
    end;
  end;
  next_transaction := next;
end;

function Ordinal(kind: MsgType): Slot;
var i: Slot;
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
  elsif a.life != b.life then
    return a.life < b.life;
  elsif a.dest_life != b.dest_life then
    return a.dest_life < b.dest_life;
  elsif a.base != b.base then
    return a.base < b.base;
  elsif a.count != b.count then
    return a.count < b.count;
  elsif a.requester != b.requester then
    return a.requester < b.requester;
  elsif a.request != b.request then
    return b.request;
  elsif a.write != b.write then
    return b.write;
  elsif a.have != b.have then
    return b.have;
  elsif a.lost != b.lost then
    return b.lost;
  end;
  for p: Page do
    if a.mask[p] != b.mask[p] then
      return b.mask[p];
    elsif a.current[p] != b.current[p] then
      return b.current[p];
    end;
  end;
  return false;
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

-- What the node had is gone.
procedure Forsake(n: Node);
begin
  for b: Page do
    Outdate(n, b);
  end;
  for i: Aside do
    if deferred[i].dest = n then
      clear deferred[i];
    end;
  end;
  clear access[n];
  clear current[n];
  clear epoch[n];
  clear want_read[n];
  clear want_write[n];
  clear request[n];
  clear request_write[n];
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
  clear current;
  for p: Page do
    access[HOME][p] := access_write;
    current[HOME][p] := true;
  end;
  clear epoch;
  clear want_read;
  clear want_write;
  clear request;
  clear request_write;
  clear deferred;
  clear owner;
  clear sharers;
  clear lost;
  clear queue;
  clear transactions;
  next_transaction := 1;
  clear status;
  clear down;
  clear life;
  deaths := 0;
  fences := 0;
  rejoins := 0;
  faults := 0;
  releases := 0;
  repeats := 0;
  clear net;
  flying := 0;
  clear own;
  own_used := 0;
  clear review;
  gone := 0;
end;

-- A thread touches a page that its mapping does not allow, and waits.
ruleset n: Node; p: Page; write: boolean; window: Count do
  rule "Fault"
    status[n] = up & !down[n][HOME]
    & (access[n][p] = access_none | (access[n][p] = access_read & write))
    & !(write ? want_write[n][p] : want_read[n][p])
    & window >= 1 & p + window <= PAGES & (window > 1 -> !Pending(n, p))
    & (FAULTS = 0 | faults < FAULTS)
  ==>
  begin
    faults := FAULTS = 0 ? 0 : faults + 1;
    if write then
      want_write[n][p] := true;
    else
      want_read[n][p] := true;
    end;
    if !Pending(n, p) then
      Ask(n, p, write, window);
    end;
    Finish();
  end;
end;

-- A thread writes to a page that it may write. No other copy is the last write from now on.
ruleset n: Node; p: Page do
  rule "Store"
    status[n] = up & access[n][p] = access_write
    & ((exists m: Node do m != n & current[m][p] end) | (exists i: Slot do net[i].current[p] end))
  ==>
  begin
    for m: Node do
      current[m][p] := m = n;
    end;
    for i: Slot do
      net[i].current[p] := false;
    end;
    Sort();
  end;
end;

-- The wish to be rid of pages.
ruleset n: Node; p: Page; window: Count do
  rule "Evict"
    releases < RELEASES & n != HOME & status[n] = up & !down[n][HOME] & window >= 1 & p + window <= PAGES
    & (exists q: Page do q >= p & q < p + window & Here(n, q) end)
  ==>
  var m: Message;
  begin
    releases := releases + 1;
    clear m;
    m.kind := msg_release;
    m.from := n;
    m.dest := HOME;
    m.base := p;
    for q: Page do
      m.mask[q] := q >= p & q < p + window & Here(n, q);
    end;
    Send(m);
    Tidy();
  end;
end;

-- Everything a dead node took part in has been concluded without it; data alone may still be of use, since the home
-- waits for the requester to say whether it came.
ruleset i: Slot do
  rule "Deliver"
    i < flying & status[net[i].dest] != dead & (i > 0 -> net[i] != net[i > 0 ? i - 1 : 0])
  ==>
  var m: Message;
  begin
    m := net[i];
    Remove(i);
    if true
        & m.dest_life = life[m.dest]
        & m.life = life[m.from] -- guard sender_life
        & (!down[m.dest][m.from] | m.kind = msg_data) -- guard dead_are_not_heard
    then
      m.life := 0;
      m.dest_life := 0;
      own[0] := m;
      own_used := 1;
    end;
    Finish();
  end;
end;

-- What a dead node has sent may also never arrive.
ruleset i: Slot do
  rule "Vanish"
    i < flying & (status[net[i].from] != up | net[i].life != life[net[i].from])
    & (i > 0 -> net[i] != net[i > 0 ? i - 1 : 0])
  ==>
  begin
    Remove(i);
    Tidy();
  end;
end;

ruleset i: Slot do
  rule "Repeat"
    i < flying & repeats < REPEATS & net[i].kind != msg_get & net[i].kind != msg_forward
  ==>
  begin
    repeats := repeats + 1;
    net[flying] := net[i];
    flying := flying + 1;
    Sort();
  end;
end;

ruleset n: Node do
  rule "Die"
    deaths < DEATHS & status[n] = up
  ==>
  begin
    deaths := deaths + 1;
    status[n] := dead;
    Forsake(n);
    clear down[n];
    if n = HOME then
      clear owner;
      clear sharers;
      clear lost;
      clear queue;
      clear transactions;
    end;
    for k: Slot do
      -- From the last to the first, because those behind move up.
      if NET - 1 - k < flying & (rejoins = REJOINS | n = HOME) then
        if net[NET - 1 - k].dest = n then
          Remove(NET - 1 - k);
        end;
      end;
    end;
    Tidy();
  end;
end;

-- Taken for dead. Its threads are stopped before anybody is told; its server goes on answering until it notices.
ruleset n: Node do
  rule "Fence"
    fences < FENCES & status[n] = up
  ==>
  begin
    fences := fences + 1;
    status[n] := fenced;
    Tidy();
  end;
end;

ruleset n: Node; d: Node do
  rule "Notice"
    status[n] = up & status[d] != up & !down[n][d]
  ==>
  begin
    down[n][d] := true;
    if n = HOME then
      OnNodeDown(d);
    elsif d = HOME then
      OnHomeDown(n);
    end;
    Finish();
  end;
end;

-- Does the directory still know the node, as a holder or in a transaction?
function Named(n: Node): boolean;
begin
  return exists p: Page do
    Holds(p, n) | (transactions[p].busy & (transactions[p].get.from = n | transactions[p].supplier = n)) end;
end;

-- Who comes back is somebody new, with nothing; and not before everybody has been told that it was gone, and the home
-- has concluded what it took part in: the record names nodes, not their lives.
ruleset n: Node do
  rule "Rejoin"
    rejoins < REJOINS & n != HOME & status[n] != up & status[HOME] = up
    & (forall o: Node do status[o] = up -> down[o][n] end)
    & !Named(n)
  ==>
  begin
    rejoins := rejoins + 1;
    Forsake(n);
    life[n] := life[n] + 1;
    status[n] := up;
    for o: Node do
      down[o][n] := false;
      down[n][o] := status[o] != up;
    end;
    Tidy();
  end;
end;

---------------------------------------------------------------------------------------------------- what has to hold

invariant "single writer or many readers"
  forall p: Page do forall n: Node do
    status[n] = up & access[n][p] = access_write -> forall m: Node do m != n & status[m] = up -> !Here(m, p) end
  end end;

invariant "who may read sees the last write"
  forall n: Node do forall p: Page do
    status[n] = up & Here(n, p) -> current[n][p]
  end end;

-- Has the home sent the node a copy that will be accepted?
function Coming(n: Node; p: Page): boolean;
begin
  return exists i: Slot do net[i].kind = msg_data & net[i].dest = n & net[i].from = HOME
    & net[i].request & net[i].txn > epoch[n][p] & net[i].mask[p] end;
end;

invariant "exact: the live holders are the owner and the sharers"
  status[HOME] = up -> forall p: Page do
    !Busy(p) & !lost[p] -> forall n: Node do
      status[n] = up -> Holds(p, n) = (Here(n, p) | Coming(n, p))
    end
  end;

invariant "exact: who holds a page in transaction is owner, sharer or requester"
  status[HOME] = up -> forall b: Page do
    transactions[b].busy -> forall p: Page do forall n: Node do
      transactions[b].mask[p] & status[n] = up & Here(n, p) -> Holds(p, n) | transactions[b].get.from = n
    end end
  end;

invariant "exclusive: who may write is the owner, without sharers"
  status[HOME] = up -> forall p: Page do
    !Busy(p) & !lost[p] -> forall n: Node do
      status[n] = up & access[n][p] = access_write -> owner[p] = n & Empty(sharers[p])
    end
  end;

invariant "quiet: about an idle page only gets, releases and what the home sent are on their way"
  SomeoneDied() | repeats > 0 | forall i: Slot do
    i < flying & net[i].kind != msg_release & !(net[i].from = HOME & (net[i].kind = msg_data | net[i].kind = msg_grant))
      -> forall p: Page do net[i].mask[p] -> Busy(p) end
  end;

invariant "lost only after a death"
  SomeoneDied() | forall p: Page do
    !lost[p] & forall n: Node do access[n][p] != access_lost end
  end;

-- Nothing is on its way, and nobody has still to be told of a death.
function Quiet(): boolean;
begin
  return flying = 0 & forall n: Node do
    status[n] = up -> forall d: Node do status[d] != up -> down[n][d] end
  end;
end;

invariant "when all is quiet nobody waits"
  Quiet() -> forall n: Node do
    status[n] = up -> forall p: Page do request[n][p] = 0 & !want_read[n][p] & !want_write[n][p] end
      & forall i: Aside do deferred[i].kind = msg_none | deferred[i].dest != n end
  end;

invariant "when all is quiet no transaction is open and nobody queues"
  Quiet() & status[HOME] = up -> forall p: Page do !transactions[p].busy end & forall i: Place do !queue[i].used end;

invariant "when all is quiet nobody holds a lost page"
  Quiet() & status[HOME] = up -> forall p: Page do
    lost[p] -> forall n: Node do status[n] = up -> !Here(n, p) end
  end;
