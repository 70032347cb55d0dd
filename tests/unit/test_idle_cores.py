"""Whether the machine has cores to spare is told of a window that has just passed, never of a moment."""

from __future__ import annotations

from temporal_airflow.tasks.idle_cores import STALE, WINDOW, IdleCores


class Machine:
    """Two cores; counts what they do in hundredths of a second."""

    def __init__(self) -> None:
        self.now = 100.0
        self.idle = self.all = 0
        self.cores = IdleCores(lambda: (self.idle, self.all), lambda: self.now)

    def goes_on(self, seconds: float, idle: float) -> float:
        """The share that is told after some seconds, in which a part of the cores had nothing to do."""
        self.now += seconds
        self.all += round(200 * seconds)
        self.idle += round(200 * seconds * idle)
        return self.cores.share()


def test_an_idle_machine_has_cores_to_spare() -> None:
    assert Machine().goes_on(WINDOW, idle=1.0) == 1.0


def test_a_tick_in_which_a_busy_machine_did_nothing_says_nothing() -> None:
    machine = Machine()
    machine.goes_on(WINDOW, idle=0.0)
    assert machine.goes_on(0.01, idle=1.0) == 0.0


def test_what_was_long_ago_says_nothing() -> None:
    machine = Machine()
    assert machine.goes_on(STALE + 60, idle=1.0) == 0.0
    assert machine.goes_on(WINDOW, idle=0.5) == 0.5


def test_a_kernel_that_does_not_tell_is_taken_at_its_best() -> None:
    machine = Machine()
    machine.now += WINDOW
    assert machine.cores.share() == 1.0
