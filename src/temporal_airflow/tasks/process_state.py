"""What a task may change in its process and must not leave to the next one: noted once, restored after each task.

It must not know tasks. What it doesn't restore (modules and their globals, open files, warning filters, resource
limits) is documented as shared by the tasks of a process.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import structlog
from airflow._shared.secrets_masker import _secrets_masker as core_masker
from airflow.sdk._shared.secrets_masker import _secrets_masker as task_masker

UNTOUCHABLE = {signal.SIGKILL, signal.SIGSTOP}


class ProcessState:
    """How this process is before any task."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._folder = os.getcwd()  # noqa: PTH109  # as it is given back to `chdir`
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._path = list(sys.path)
        self._hooks = (sys.stdin, sys.stdout, sys.stderr, sys.excepthook, warnings.showwarning)
        self._handlers = dict(_signal_handlers())
        self._loggers = {logger: _LoggerState.of(logger) for logger in _loggers()}
        self._structlog = structlog.get_config()
        self._masks = [(masker, set(masker.patterns), masker.replacer) for masker in (core_masker(), task_masker())]

    def restore(self) -> None:
        """End what a task has left, as the end of its process would, and undo what it has changed."""
        atexit._run_exitfuncs()
        self.undo()

    def undo(self) -> None:
        """Undo what was changed."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._restore_environment()
        os.chdir(self._folder)
        os.umask(self._umask)
        sys.path[:] = self._path
        sys.stdin, sys.stdout, sys.stderr, sys.excepthook, warnings.showwarning = self._hooks
        for number, handler in _signal_handlers():
            if handler != self._handlers.get(number, handler):
                signal.signal(number, cast("Any", self._handlers[number]))
        self._restore_logging()
        for masker, patterns, replacer in self._masks:
            masker.patterns, masker.replacer = set(patterns), replacer

    def _restore_environment(self) -> None:
        if dict(os.environ) == self._environment:
            return
        os.environ.clear()
        os.environ.update(self._environment)
        time.tzset()

    def _restore_logging(self) -> None:
        for logger in _loggers():
            before = self._loggers.get(logger, _UNTOUCHED)
            if _LoggerState.of(logger) != before:
                before.give(logger)
        if structlog.get_config() != self._structlog:
            structlog.configure(**self._structlog)


@dataclass(frozen=True)
class _LoggerState:
    level: int = logging.NOTSET
    propagate: bool = True
    disabled: bool = False
    handlers: tuple[logging.Handler, ...] = ()
    filters: tuple[Any, ...] = ()

    @classmethod
    def of(cls, logger: logging.Logger) -> _LoggerState:
        return cls(logger.level, logger.propagate, logger.disabled, tuple(logger.handlers), tuple(logger.filters))

    def give(self, logger: logging.Logger) -> None:
        logger.setLevel(self.level)
        logger.propagate, logger.disabled = self.propagate, self.disabled
        logger.handlers[:], logger.filters[:] = self.handlers, self.filters


_UNTOUCHED = _LoggerState()


def _loggers() -> Iterator[logging.Logger]:
    yield logging.root
    known = tuple(logging.root.manager.loggerDict.values())
    yield from (logger for logger in known if isinstance(logger, logging.Logger))


def _signal_handlers() -> Iterator[tuple[signal.Signals, Any]]:
    """The handlers that Python knows."""
    for number in signal.valid_signals() - UNTOUCHABLE:
        handler = signal.getsignal(number)
        if handler is not None:
            yield number, handler
