"""The simulated queue against what is known of queues exactly."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from benchmarks.bench.pipeline import of_cores, sojourns


def percentiles(utilisation, servers, service):
    """p50 and p99 under Poisson arrival, in mean service times, once the empty beginning is over."""
    chance = random.Random(1)
    arrivals = itertools.accumulate(chance.expovariate(utilisation * servers) for _ in range(200_000))
    return np.percentile(sojourns(arrivals, servers, lambda: service(chance))[10_000:], (50, 99))


@pytest.mark.parametrize("utilisation", [0.3, 0.7])
def test_m_m_1_sojourns_are_exponential(utilisation):
    """With the mean 1 / (1 - utilisation), in mean service times."""
    p50, p99 = percentiles(utilisation, 1, lambda chance: chance.expovariate(1.0))
    assert p50 == pytest.approx(math.log(2) / (1 - utilisation), rel=0.05)
    assert p99 == pytest.approx(math.log(100) / (1 - utilisation), rel=0.1)


@pytest.mark.parametrize("utilisation", [0.5, 0.7])
def test_m_d_1_waits_are_erlangs(utilisation):
    """P(W <= t) = (1 - u) sum over k <= t of (u (k - t))^k / k! exp(-u (k - t)), in service times (Erlang, 1909)."""

    def waited_at_most(t: float) -> float:
        terms = ((utilisation * (k - t)) ** k / math.factorial(k) for k in range(int(t) + 1))
        return (1 - utilisation) * sum(term * math.exp(-utilisation * (k - t)) for k, term in enumerate(terms))

    p50, p99 = percentiles(utilisation, 1, lambda _: 1.0)
    assert waited_at_most(p50 - 1) == pytest.approx(0.5, abs=0.02)
    assert waited_at_most(p99 - 1) == pytest.approx(0.99, abs=0.003)


def test_m_m_2_waits_are_as_erlang_c_says():
    """P(W > t) = C exp(-2 (1 - u) t), and C = 2 u^2 / (1 + u) for two servers; exponential service makes W + S."""
    utilisation = 0.7
    wait, rate = 2 * utilisation**2 / (1 + utilisation), 2 * (1 - utilisation)

    def longer_than(t: float) -> float:  # W and S are independent
        return (1 - wait) * math.exp(-t) + wait * (math.exp(-rate * t) - rate * math.exp(-t)) / (1 - rate)

    p50, p99 = percentiles(utilisation, 2, lambda chance: chance.expovariate(1.0))
    assert longer_than(p50) == pytest.approx(0.5, abs=0.02)
    assert longer_than(p99) == pytest.approx(0.01, abs=0.002)


def test_who_comes_third_waits_for_one_of_two():
    assert sojourns([0, 0, 0, 10], 2, lambda: 3) == [3, 3, 6, 3]


def test_of_cores_is_in_seconds_and_leaves_the_warm_up_out():
    found = of_cores([0.0, 0.0, 0.0, 10.0, 20.0], throughput=4.0, servers=2, since=5.0)
    assert found == [0.5, 0.5]
