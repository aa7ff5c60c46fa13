-- SPDX-License-Identifier: BSD-3-Clause
-- A task moves from one node to another with all its threads (docs/migration.md, runtime/server/ops_migrate.cpp): the
-- source has an empty child made on the target, stops the threads, gives the child what they need, and lets it carry on;
-- until then they can go on where they are. Either node may crash; the threads may not stop, the child may be refused
-- what it needs or die before it carries on, the source may lose patience, the task may end or be terminated, all at any
-- moment. The task has a lock, whose home is a third node that hears of everything in its own time. README.md in this
-- folder says how to read this.

const
  ATTEMPTS: 2; -- how often the task tries to move

type
  Attempt: 0 .. ATTEMPTS - 1;
  Stage: enum {at_rest, spawning, gathering, furnishing, making_room, moving_locks, letting_go};
  Parent: enum {parent_runs, parent_halted, parent_left, parent_ended}; -- left: its threads go on elsewhere, or nowhere
  Child: enum {child_none, child_starting, child_ready, child_furnished, child_roomy, child_running, child_ended};
  Holder: enum {of_parent, of_child, of_nobody};

var
  -- The source.
  source_up: boolean;
  parent: Parent;
  end_told: boolean;      -- whoever waits for the task has been told that it is over
  loss_told: boolean;     -- or that it was lost with the target
  stage: Stage;
  attempt: 0 .. ATTEMPTS; -- of the move under way, or the next
  hosted_by_target: boolean; -- where the launcher believes the task to be
  -- The target. One child for each attempt.
  target_up: boolean;
  child: array [Attempt] of Child;
  -- What they know of one another, and what is on its way: each message at most once for each attempt.
  target_down_known: boolean;
  source_down_known: boolean;
  spawn: array [Attempt] of boolean;
  created: array [Attempt] of boolean;
  failed: array [Attempt] of boolean;
  furnish: array [Attempt] of boolean;
  furnished: array [Attempt] of boolean;
  room: array [Attempt] of boolean;
  has_room: array [Attempt] of boolean;
  refused: array [Attempt] of boolean;
  carry_on: array [Attempt] of boolean;
  carried: array [Attempt] of boolean;
  abandon: array [Attempt] of boolean;
  -- The home of the lock, and what is on its way to and from it.
  holder: Holder;
  holder_child: Attempt;
  over_known: array [Attempt] of boolean; -- children that never take over, whatever the dead source has said of them
  home_knows_source_down: boolean;
  home_knows_target_down: boolean;
  moved: array [Attempt] of boolean;      -- from the source
  moved_heard: array [Attempt] of boolean;
  parent_over: boolean;
  child_over: array [Attempt] of boolean; -- from the target
  orphan_over: array [Attempt] of boolean; -- the same, of one that waited for a source which is down

function Runners(): 0 .. ATTEMPTS + 1;
var n: 0 .. ATTEMPTS + 1;
begin
  n := parent = parent_runs ? 1 : 0;
  for a: Attempt do
    if child[a] = child_running then
      n := n + 1;
    end;
  end;
  return n;
end;

function Waits(a: Attempt): boolean;
begin
  return child[a] = child_ready | child[a] = child_furnished | child[a] = child_roomy;
end;

-- The move has failed, and the threads go on where they are.
procedure Fail();
begin
  if parent = parent_halted then
    parent := parent_runs; -- guard threads_go_on
  end;
  stage := at_rest;
  attempt := attempt + 1;
end;

-- The same, when there is a child.
procedure FailAndAbandon();
begin
  abandon[attempt] := target_up & !target_down_known; -- guard abandon_child
  Fail();
end;

procedure HasMoved();
begin
  stage := at_rest;
  attempt := ATTEMPTS;
end;

procedure EndChild(a: Attempt);
begin
  child[a] := child_ended;
  child_over[a] := true;
  orphan_over[a] := source_down_known;
end;

startstate "a task on the source"
begin
  source_up := true;
  parent := parent_runs;
  end_told := false;
  loss_told := false;
  stage := at_rest;
  attempt := 0;
  hosted_by_target := false;
  target_up := true;
  clear child;
  target_down_known := false;
  source_down_known := false;
  clear spawn;
  clear created;
  clear failed;
  clear furnish;
  clear furnished;
  clear room;
  clear has_room;
  clear refused;
  clear carry_on;
  clear carried;
  clear abandon;
  holder := of_parent;
  holder_child := 0;
  clear over_known;
  home_knows_source_down := false;
  home_knows_target_down := false;
  clear moved;
  clear moved_heard;
  parent_over := false;
  clear child_over;
  clear orphan_over;
end;

---------------------------------------------------------------------------------------------------- the source

rule "Migrate"
  source_up & parent = parent_runs & attempt < ATTEMPTS & !target_down_known & stage = at_rest
==>
begin
  spawn[attempt] := target_up;
  stage := spawning;
end;

rule "LosePatience"
  source_up & (stage = spawning | stage = gathering | stage = furnishing | stage = making_room)
==>
begin
  if stage = spawning then
    Fail();
  else
    FailAndAbandon();
  end;
end;

ruleset a: Attempt do
  rule "Failed"
    source_up & failed[a]
  ==>
  begin
    failed[a] := false;
    if stage = spawning & a = attempt then
      Fail();
    end;
  end;
end;

ruleset a: Attempt do
  rule "Created"
    source_up & created[a]
  ==>
  begin
    created[a] := false;
    if stage = spawning & a = attempt then
      stage := gathering;
    else
      abandon[a] := !target_down_known; -- guard abandon_late_child: abandon[a] := false;
    end;
  end;
end;

-- All of them, so nothing of the task changes by itself from here on.
rule "ThreadsStop"
  source_up & stage = gathering
==>
begin
  parent := parent_halted; -- guard threads_stop
  if target_down_known then
    FailAndAbandon();
  else
    furnish[attempt] := target_up;
    stage := furnishing;
  end;
end;

ruleset a: Attempt do
  rule "Furnished"
    source_up & furnished[a]
  ==>
  begin
    furnished[a] := false;
    if stage = furnishing & a = attempt then
      room[a] := target_up & !target_down_known;
      stage := making_room;
    end;
  end;
end;

ruleset a: Attempt do
  rule "Refused"
    source_up & refused[a]
  ==>
  begin
    refused[a] := false;
    if (stage = furnishing | stage = making_room) & a = attempt then
      FailAndAbandon();
    end;
  end;
end;

-- The point of no return: from here on the old process is nobody's.
ruleset a: Attempt do
  rule "HasRoom"
    source_up & has_room[a]
  ==>
  begin
    has_room[a] := false;
    if stage = making_room
        & a = attempt -- guard late_room
    then
      if parent = parent_halted then
        parent := parent_left;
      end;
      stage := moving_locks;
      moved[attempt] := true;
      -- guard locks_move_first: carry_on[attempt] := target_up & !target_down_known;
    end;
  end;
end;

ruleset a: Attempt do
  rule "LocksMoved"
    source_up & moved_heard[a]
  ==>
  begin
    moved_heard[a] := false;
    if stage = moving_locks then
      if target_down_known then
        loss_told := true; -- guard loss_is_told_at_once
        HasMoved();
      else
        carry_on[attempt] := target_up;
        stage := letting_go;
      end;
    end;
  end;
end;

ruleset a: Attempt do
  rule "HasCarriedOn"
    source_up & carried[a]
  ==>
  begin
    carried[a] := false;
    HasMoved();
  end;
end;

-- The task comes to its end, or is terminated.
rule "ParentEnds"
  source_up & (parent = parent_runs | parent = parent_halted)
==>
begin
  parent := parent_ended;
  end_told := true;
  parent_over := true;
  if stage = gathering | stage = furnishing | stage = making_room then
    FailAndAbandon();
  elsif stage = spawning then
    Fail();
  end;
end;

rule "OldProcessEnds"
  source_up & parent = parent_left
==>
begin
  parent := parent_ended;
  -- guard left_is_not_over: end_told := true;
end;

rule "SourceLearnsThatTargetDied"
  source_up & !target_up & !target_down_known
==>
begin
  target_down_known := true;
  if stage = spawning | stage = furnishing | stage = making_room then
    Fail();
  elsif stage = letting_go then
    loss_told := true; -- guard loss_is_told
    HasMoved();
  end;
end;

---------------------------------------------------------------------------------------------------- the target

ruleset a: Attempt do
  rule "Spawn"
    target_up & spawn[a]
  ==>
  begin
    spawn[a] := false;
    if !source_down_known then
      child[a] := child_starting;
    end;
  end;
end;

ruleset a: Attempt do
  rule "ChildReady"
    target_up & child[a] = child_starting
  ==>
  begin
    child[a] := child_ready;
    created[a] := source_up & !source_down_known;
  end;
end;

ruleset a: Attempt do
  rule "ChildFails"
    target_up & child[a] = child_starting
  ==>
  begin
    EndChild(a);
    failed[a] := source_up & !source_down_known;
  end;
end;

ruleset a: Attempt; enough: boolean do
  rule "Furnish"
    target_up & furnish[a]
  ==>
  begin
    furnish[a] := false;
    if child[a] = child_ready & enough then
      child[a] := child_furnished;
      furnished[a] := source_up & !source_down_known;
    else
      refused[a] := source_up & !source_down_known;
    end;
  end;
end;

ruleset a: Attempt; enough: boolean do
  rule "MakeRoom"
    target_up & room[a]
  ==>
  begin
    room[a] := false;
    if child[a] = child_furnished & enough then
      child[a] := child_roomy;
      has_room[a] := source_up & !source_down_known;
    else
      refused[a] := source_up & !source_down_known;
    end;
  end;
end;

-- Somebody kills its process.
ruleset a: Attempt do
  rule "ChildDies"
    target_up & Waits(a)
  ==>
  begin
    EndChild(a);
  end;
end;

ruleset a: Attempt do
  rule "CarryOn"
    target_up & carry_on[a]
  ==>
  begin
    carry_on[a] := false;
    if !source_down_known then
      carried[a] := source_up;
      hosted_by_target := true;
      if child[a] = child_roomy then
        child[a] := child_running;
      else -- its end is the task's, and what it has taken over is told of again
        end_told := true; -- guard dead_child_is_told
        child_over[a] := true; -- guard dead_child_lets_go
      end;
    end;
  end;
end;

ruleset a: Attempt do
  rule "Abandoned"
    target_up & abandon[a]
  ==>
  begin
    abandon[a] := false;
    if Waits(a) then
      EndChild(a);
    end;
  end;
end;

-- A child that has not been let go on never will be. What the source has sent last may come later than this.
rule "TargetLearnsThatSourceDied"
  target_up & !source_up & !source_down_known
==>
begin
  source_down_known := true;
  for a: Attempt do
    if child[a] = child_starting | Waits(a) then
      EndChild(a); -- guard orphan_ends
    elsif child[a] = child_ended then
      EndChild(a); -- guard dead_orphan_is_told
    end;
  end;
end;

ruleset a: Attempt do
  rule "ChildEnds"
    target_up & child[a] = child_running
  ==>
  begin
    EndChild(a);
    end_told := true;
  end;
end;

---------------------------------------------------------------------------------------------------- the lock's home

ruleset a: Attempt do
  rule "Moved"
    moved[a]
  ==>
  begin
    moved[a] := false;
    if !home_knows_source_down then
      moved_heard[a] := source_up;
      if holder = of_parent then
        holder := of_child;
        holder_child := a;
        if false
            | home_knows_target_down -- guard lost_before
            | over_known[a] -- guard over_before
        then
          holder := of_nobody;
        end;
      end;
    end;
  end;
end;

rule "ParentIsOver"
  parent_over
==>
begin
  parent_over := false;
  if holder = of_parent & !home_knows_source_down then
    holder := of_nobody;
  end;
end;

ruleset a: Attempt do
  rule "ChildIsOver"
    child_over[a]
  ==>
  begin
    if holder = of_child & holder_child = a then
      holder := of_nobody;
    end;
    if !home_knows_target_down & orphan_over[a] & !home_knows_source_down then
      over_known[a] := true;
    end;
    child_over[a] := false;
    orphan_over[a] := false;
  end;
end;

rule "HomeLearnsThatSourceDied"
  !source_up & !home_knows_source_down
==>
begin
  home_knows_source_down := true;
  clear over_known;
  if holder = of_parent then
    holder := of_nobody;
  end;
end;

rule "HomeLearnsThatTargetDied"
  !target_up & !home_knows_target_down
==>
begin
  home_knows_target_down := true;
  if holder = of_child then
    holder := of_nobody;
  end;
end;

---------------------------------------------------------------------------------------------------- crashes

rule "SourceCrashes"
  source_up & target_up
==>
begin
  source_up := false;
  parent := parent_ended;
  stage := at_rest;
  attempt := 0;
  target_down_known := false;
  clear created;
  clear failed;
  clear furnished;
  clear has_room;
  clear refused;
  clear carried;
  clear moved_heard;
end;

rule "TargetCrashes"
  source_up & target_up
==>
begin
  target_up := false;
  clear child;
  source_down_known := false;
  clear spawn;
  clear furnish;
  clear room;
  clear carry_on;
  clear abandon;
end;

-- What a node sent before it crashed may also never arrive.
ruleset a: Attempt do
  rule "Vanish"
    (!source_up & (spawn[a] | furnish[a] | room[a] | carry_on[a] | abandon[a] | moved[a] | parent_over))
    | (!target_up & (created[a] | failed[a] | furnished[a] | has_room[a] | refused[a] | carried[a] | child_over[a]))
  ==>
  begin
    spawn[a] := false;
    furnish[a] := false;
    room[a] := false;
    carry_on[a] := false;
    abandon[a] := false;
    created[a] := false;
    failed[a] := false;
    furnished[a] := false;
    has_room[a] := false;
    refused[a] := false;
    carried[a] := false;
    if !source_up then
      moved[a] := false;
      parent_over := false;
    else
      child_over[a] := false;
      orphan_over[a] := false;
    end;
  end;
end;

---------------------------------------------------------------------------------------------------- what has to hold

invariant "at most one runner"
  Runners() <= 1;

invariant "who was told that the task is over was told the truth"
  end_told | loss_told -> Runners() = 0;

invariant "who runs has its lock"
  (parent = parent_runs -> holder = of_parent)
  & forall a: Attempt do child[a] = child_running -> holder = of_child & holder_child = a end;

function Quiet(): boolean;
begin
  return stage = at_rest & (source_up | source_down_known & home_knows_source_down)
    & (target_up | target_down_known & home_knows_target_down) & !parent_over
    & forall a: Attempt do
      !spawn[a] & !created[a] & !failed[a] & !furnish[a] & !furnished[a] & !room[a] & !has_room[a] & !refused[a]
      & !carry_on[a] & !carried[a] & !abandon[a] & !moved[a] & !moved_heard[a] & !child_over[a]
      & child[a] != child_starting
    end;
end;

invariant "while both nodes live, a task that is not over has exactly one runner"
  Quiet() & source_up & target_up & !end_told -> Runners() = 1;

invariant "when the target died, the task goes on at the source unless it had moved"
  Quiet() & !target_up & !end_told & attempt < ATTEMPTS -> Runners() = 1;

invariant "a task that is lost on its way is not waited for"
  Quiet() & source_up & !target_up & !end_told & Runners() = 0 -> hosted_by_target | loss_told;

invariant "the launcher does not wait for a task that is nowhere"
  Quiet() & !end_told & !source_up & target_up & hosted_by_target -> Runners() = 1;

invariant "no thread stays halted"
  Quiet() -> parent != parent_halted;

invariant "no child is left that nobody will let go on"
  Quiet() -> forall a: Attempt do !Waits(a) end;

invariant "a task that is nowhere has no lock"
  Quiet() & Runners() = 0 -> holder = of_nobody;
