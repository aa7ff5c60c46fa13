-- SPDX-License-Identifier: BSD-3-Clause
-- A task moves from one node to another (runtime/server/ops_task.cpp): the source has a child made on the target, ends
-- the parent, and lets the child take over. Nodes may crash, the child may fail to come up or die before it takes over,
-- the source may lose patience, the parent may end or be terminated, all at any moment. README.md in this folder says
-- how to read this.

const
  ATTEMPTS: 2; -- how often the task tries to move

type
  Attempt: 0 .. ATTEMPTS - 1;
  MsgType: enum {msg_none, msg_spawn, msg_created, msg_failed, msg_resume, msg_abandon};
  Stage: enum {at_rest, spawning, ending, moving_locks, letting_go};
  Child: enum {child_none, child_starting, child_ready, child_running, child_ended};

var
  -- The source.
  source_up: boolean;
  parent_runs: boolean;
  end_told: boolean;      -- whoever waits for the task, and who terminated it, have been told that it is over
  loss_told: boolean;     -- the launcher has been told that the task was lost with the target
  stage: Stage;
  attempt: 0 .. ATTEMPTS; -- of the teleport under way, or the next
  -- The target. One child for each attempt.
  target_up: boolean;
  child: array [Attempt] of Child;
  -- What they know of one another, and what is on its way: each message at most once for each attempt.
  target_down_known: boolean;
  source_down_known: boolean;
  spawn: array [Attempt] of boolean;
  created: array [Attempt] of boolean;
  failed: array [Attempt] of boolean;
  resume: array [Attempt] of boolean;
  resumed: array [Attempt] of boolean;
  abandon: array [Attempt] of boolean;
  -- Where the launcher believes the task to be.
  hosted_by_target: boolean;

function Runners(): 0 .. ATTEMPTS + 1;
var n: 0 .. ATTEMPTS + 1;
begin
  n := parent_runs ? 1 : 0;
  for a: Attempt do
    if child[a] = child_running then
      n := n + 1;
    end;
  end;
  return n;
end;

-- The teleport has failed; the parent has not noticed.
procedure GiveUp();
begin
  stage := at_rest;
  attempt := attempt + 1;
end;

startstate "a task on the source"
begin
  source_up := true;
  parent_runs := true;
  end_told := false;
  loss_told := false;
  stage := at_rest;
  attempt := 0;
  target_up := true;
  clear child;
  target_down_known := false;
  source_down_known := false;
  clear spawn;
  clear created;
  clear failed;
  clear resume;
  clear resumed;
  clear abandon;
  hosted_by_target := false;
end;

---------------------------------------------------------------------------------------------------- the source

rule "Teleport"
  source_up & parent_runs & attempt < ATTEMPTS & !target_down_known
  & stage = at_rest -- guard one_teleport_at_a_time: & (stage = at_rest | stage = spawning)
==>
begin
  -- guard one_teleport_at_a_time: if stage = spawning & attempt + 1 < ATTEMPTS then attempt := attempt + 1; end;
  if attempt < ATTEMPTS then
    spawn[attempt] := target_up;
    stage := spawning;
  end;
end;

rule "LosePatience"
  source_up & stage = spawning
==>
begin
  GiveUp();
end;

ruleset a: Attempt do
  rule "Failed"
    source_up & failed[a]
  ==>
  begin
    failed[a] := false;
    if stage = spawning
        & a = attempt
    then
      GiveUp();
    end;
  end;
end;

ruleset a: Attempt do
  rule "Created"
    source_up & created[a]
  ==>
  begin
    created[a] := false;
    if stage = spawning
        & a = attempt -- guard late_success
        & !end_told -- guard end_is_final
    then
      stage := ending; -- guard parent_ends_first: stage := moving_locks;
    else
      abandon[a] := !target_down_known; -- guard abandon_child: abandon[a] := false;
      if stage = spawning & a = attempt then
        GiveUp();
      end;
    end;
  end;
end;

-- The parent's process has been killed and reaped.
rule "Reaped"
  source_up & stage = ending
==>
begin
  parent_runs := false;
  stage := moving_locks;
end;

-- What the synchronisation services know of the parent has become the child's, which takes over.
rule "Resume"
  source_up & stage = moving_locks
==>
begin
  resume[attempt] := target_up & !target_down_known;
  loss_told := target_down_known; -- guard loss_is_told_at_once: loss_told := false;
  stage := target_down_known ? at_rest : letting_go;
  if target_down_known then
    attempt := ATTEMPTS;
  end;
end;

ruleset a: Attempt do
  rule "HasTakenOver"
    source_up & resumed[a]
  ==>
  begin
    resumed[a] := false;
    stage := at_rest;
    attempt := ATTEMPTS;
  end;
end;

-- It comes to its end, or is terminated. Not while it is being ended for having moved.
rule "ParentEnds"
  source_up & parent_runs & (stage = at_rest | stage = spawning)
==>
begin
  parent_runs := false;
  end_told := true;
end;

rule "SourceLearnsThatTargetDied"
  source_up & !target_up & !target_down_known
==>
begin
  target_down_known := true;
  if stage = spawning then
    GiveUp();
  elsif stage = letting_go then
    loss_told := true; -- guard loss_is_told
    stage := at_rest;
    attempt := ATTEMPTS;
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
    -- guard hosting_when_resumed: hosted_by_target := true;
  end;
end;

ruleset a: Attempt do
  rule "ChildFails"
    target_up & child[a] = child_starting
  ==>
  begin
    child[a] := child_ended;
    failed[a] := source_up & !source_down_known;
  end;
end;

-- Somebody kills its process.
ruleset a: Attempt do
  rule "ChildDies"
    target_up & child[a] = child_ready
  ==>
  begin
    child[a] := child_ended;
  end;
end;

ruleset a: Attempt do
  rule "Resumed"
    target_up & resume[a]
  ==>
  begin
    resume[a] := false;
    if !source_down_known then
      resumed[a] := source_up;
      hosted_by_target := true;
      if child[a] = child_ready then
        child[a] := child_running;
      else -- its end is the task's
        end_told := true; -- guard dead_child_is_told
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
    if child[a] = child_ready then
      child[a] := child_ended;
    end;
  end;
end;

-- A child that has not been let go on never will be.
rule "TargetLearnsThatSourceDied"
  target_up & !source_up & !source_down_known
==>
begin
  source_down_known := true;
  for a: Attempt do
    if child[a] = child_starting | child[a] = child_ready then
      child[a] := child_ended; -- guard orphan_ends
    end;
  end;
end;

ruleset a: Attempt do
  rule "ChildEnds"
    target_up & child[a] = child_running
  ==>
  begin
    child[a] := child_ended;
    end_told := true;
  end;
end;

---------------------------------------------------------------------------------------------------- crashes

rule "SourceCrashes"
  source_up & target_up
==>
begin
  source_up := false;
  parent_runs := false;
  stage := at_rest;
  attempt := 0;
  target_down_known := false;
  clear created;
  clear failed;
  clear resumed;
end;

rule "TargetCrashes"
  source_up & target_up
==>
begin
  target_up := false;
  clear child;
  source_down_known := false;
  clear spawn;
  clear resume;
  clear abandon;
end;

-- What a node sent before it crashed may also never arrive.
ruleset a: Attempt do
  rule "Vanish"
    (!source_up & (spawn[a] | resume[a] | abandon[a])) | (!target_up & (created[a] | failed[a] | resumed[a]))
  ==>
  begin
    spawn[a] := false;
    resume[a] := false;
    abandon[a] := false;
    created[a] := false;
    failed[a] := false;
    resumed[a] := false;
  end;
end;

---------------------------------------------------------------------------------------------------- what has to hold

invariant "at most one runner"
  Runners() <= 1;

invariant "who was told that the task is over was told the truth"
  end_told | loss_told -> Runners() = 0;

function Quiet(): boolean;
begin
  return stage = at_rest & (source_up | source_down_known) & (target_up | target_down_known)
    & forall a: Attempt do
      !spawn[a] & !created[a] & !failed[a] & !resume[a] & !resumed[a] & !abandon[a] & child[a] != child_starting
    end;
end;

invariant "while both nodes live, a task that is not over has exactly one runner"
  Quiet() & source_up & target_up & !end_told -> Runners() = 1;

invariant "when the target died, the task goes on at the source unless it had moved"
  Quiet() & !target_up & !end_told & !hosted_by_target -> Runners() = 1 | attempt = ATTEMPTS;

invariant "a task that is lost on its way is not waited for"
  Quiet() & source_up & !target_up & !end_told & Runners() = 0 -> hosted_by_target | loss_told;

invariant "no child is left that nobody will let go on"
  Quiet() -> forall a: Attempt do child[a] != child_ready end;

invariant "the launcher knows where the task is"
  Quiet() & Runners() = 1 -> hosted_by_target = !parent_runs;

invariant "the launcher does not wait for a task that is nowhere"
  Quiet() & !end_told & !source_up & target_up & hosted_by_target -> Runners() = 1;
