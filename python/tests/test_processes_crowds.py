"""Many processes and one operation: one computes, and whatever becomes of it, the others go on."""

from __future__ import annotations

import collections
import signal
import time

from processes import runner
from processes.runner import Program, crowd

LEASE = {"THRIFTY_LEASE": "1s"}


def bodies(room) -> collections.Counter[str]:
    """How many bodies ran in which process."""
    return collections.Counter(line.split()[3] for line in (room / "book").read_text().splitlines())


def calling(room, count: int = 1, operation: str = "gated", **more: str) -> list[Program]:
    """Processes that are about to call."""
    started = [Program(room, "crowd", operation, 7, 1, **more) for _ in range(count)]
    for program in started:
        assert program.heard() == "calling"
    return started


def leading(room, **more: str) -> Program:
    """A process that computes."""
    (leader,) = calling(room, **more)
    assert leader.heard().startswith("computing")
    return leader


def test_one_of_eight_processes_computes(tmp_path):
    with crowd(leading(tmp_path)) as programs:
        programs += calling(tmp_path, 7)
        programs[0].tell("go")
        for program in programs:
            assert program.result().startswith("values ")
    assert bodies(tmp_path) == {str(programs[0].pid): 1}


def test_one_of_many_threads_in_some_processes_computes(tmp_path):
    with crowd(
        *(Program(tmp_path, "crowd", "timed", 1, 20, CROWD_SECONDS="0") for _ in range(4))
    ) as programs:
        for program in programs:
            assert program.heard() == "ready"
        for program in programs:
            program.tell("go")
        said = [program.result().splitlines() for program in programs]
    assert sum(line.startswith("computed") for lines in said for line in lines) == 1
    assert sum(bodies(tmp_path).values()) == 1


def test_a_killed_holder_is_followed_by_one(tmp_path):
    with crowd(leading(tmp_path, **LEASE)) as programs:
        programs += calling(tmp_path, 3, **LEASE)
        holder, *others = programs
        holder.send(signal.SIGKILL)
        for program in others:
            program.tell("go")
        said = [program.result() for program in others]
    assert sum("computing" in words for words in said) == 1
    assert sum(bodies(tmp_path).values()) == 2


def test_a_child_that_is_forked_in_a_body_gives_nothing_back(tmp_path):
    with crowd(*calling(tmp_path, 1, "forking")) as programs:
        assert programs[0].heard().startswith("computing")
        programs += calling(tmp_path, 1, "forking")
        programs[0].tell("fork")
        assert programs[0].heard() == "forked 0"
        # Another process comes to wait. Had the child ended the reservation, one would compute.
        programs += calling(tmp_path, 1, "forking")
        assert not any(program.has_spoken() for program in programs[1:])
        programs[0].tell("go")
        for program in programs:
            assert program.result().startswith("values ")
    assert bodies(tmp_path) == {str(programs[0].pid): 1}


def test_a_holder_that_fails_is_followed_by_one_at_once(tmp_path):
    # With the longest lease there is, nobody would follow within the watchdog's time.
    with crowd(leading(tmp_path, THRIFTY_LEASE="60s")) as programs:
        programs += calling(tmp_path, 3, THRIFTY_LEASE="60s")
        holder, *others = programs
        for program in others:
            program.tell("go")
        holder.tell("fail")
        _, err = holder.ended()
        assert "LookupError: 7" in err
        said = [program.result(30) for program in others]
    assert sum("computing" in words for words in said) == 1
    assert sum(bodies(tmp_path).values()) == 2


def test_a_holder_that_is_told_to_end_gives_its_reservation_back(tmp_path):
    with crowd(leading(tmp_path, THRIFTY_LEASE="60s")) as programs:
        programs += calling(tmp_path, 1, THRIFTY_LEASE="60s")
        holder, other = programs
        other.tell("go")
        holder.send(signal.SIGTERM)
        _, err = holder.ended()
        assert (holder.process.returncode, err) == (143, "")
        assert "computing" in other.result(30)


def test_holders_that_are_killed_again_and_again(tmp_path):
    with crowd(*calling(tmp_path, 6, **LEASE)) as programs:
        left = dict(enumerate(programs))
        for _ in range(3):
            number, holder = computing(left)
            del left[number]
            holder.send(signal.SIGKILL)
        for program in left.values():
            program.tell("go")
        for program in left.values():
            assert "values" in program.result()
    ran = bodies(tmp_path)
    # After three of them the operation may be computed by all who still want it.
    assert 4 <= sum(ran.values()) <= 6
    assert set(ran.values()) == {1}


def test_a_suspended_holder_is_fenced_and_its_caller_has_its_value(tmp_path):
    with crowd(Program(tmp_path, "crowd", "run", 7, 1, **LEASE)) as programs:
        (holder,) = programs
        assert holder.heard() == "calling"
        assert holder.heard().startswith("computing")
        holder.send(signal.SIGSTOP)
        programs += [leading(tmp_path, **LEASE)]
        programs[1].tell("go")
        assert programs[1].result().startswith("values ")
        holder.send(signal.SIGCONT)
        holder.tell("go")
        assert holder.result() == "outcome fenced\n"
        # What the other has stored is still there.
        programs += calling(tmp_path, 1, **LEASE)
        assert "computing" not in programs[2].result()
    assert sum(bodies(tmp_path).values()) == 2


def computing(programs: dict[int, Program]) -> tuple[int, Program]:
    """Which of the processes says that it computes."""
    until = time.monotonic() + runner.WATCHDOG_SECONDS
    while time.monotonic() < until:
        for number, program in programs.items():
            if program.has_spoken():
                assert program.heard().startswith("computing")
                return number, program
        time.sleep(0.01)
    raise runner.Hang("nobody computes")
