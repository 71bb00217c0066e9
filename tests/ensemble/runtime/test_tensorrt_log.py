"""Of all that TensorRT says in a process, a fault quotes the error that is its own."""

from __future__ import annotations

import contextlib
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

import pytest

from facegate_ensemble.runtime.tensorrt.log import log_of

SAYS_NOTHING = "it gives no reason"


class ILogger:
    """TensorRT's, to be derived from."""

    Severity = Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING"])


@pytest.fixture
def library():
    made = types.ModuleType("tensorrt")
    made.ILogger = ILogger
    return made


@pytest.fixture
def log(library):
    made = log_of(library)
    made.forget()
    return made


def error(log, text):
    log.log(ILogger.Severity.ERROR, text)


def in_another_thread(work, *arguments):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()


def test_it_is_the_first_error_in_one_line_and_no_warning(log):
    log.log(ILogger.Severity.WARNING, "of no interest")
    assert log.first_error() == SAYS_NOTHING
    error(log, "the first\n  of two lines")
    error(log, "the second")
    assert log.first_error() == "the first of two lines"
    log.forget()
    assert log.first_error() == SAYS_NOTHING


def test_an_error_of_a_thread_that_tensorrt_made_is_heard_where_nothing_nearer_is(log):
    in_another_thread(error, log, "of a worker")
    assert log.first_error() == "of a worker"
    error(log, "our own")
    assert log.first_error() == "our own"
    log.forget()
    assert log.first_error() == SAYS_NOTHING


def test_an_error_of_another_net_is_not_heard(log):
    def fail():
        log.forget()
        error(log, "of another net")
        return log.first_error()

    assert in_another_thread(fail) == "of another net"
    assert log.first_error() == SAYS_NOTHING


def test_what_another_net_forgets_is_not_forgotten_here(log):
    in_another_thread(error, log, "of a worker")
    in_another_thread(log.forget)
    assert log.first_error() == "of a worker"


def test_threads_that_ask_at_the_same_time_get_one_logger(library):
    both_inside, made = threading.Barrier(2), []

    class Slow(ILogger):
        def __init__(self):
            made.append(self)
            with contextlib.suppress(threading.BrokenBarrierError):
                both_inside.wait(0.5)  # as long as the other could take to come in too

    library.ILogger = Slow
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(log_of, [library, library])
    assert first is second
    assert len(made) == 1
