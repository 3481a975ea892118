import threading

import numpy as np
import pytest
import torch

from functions.app.map_tests import MapRequest, MapTests
from functions.explain.faithfulness import faithfulness
from functions.explain.maps import explain
from functions.runtime.errors import UserError


@pytest.fixture
def found(predictor, new):
    return predictor.answer([new("a.png", 50)]).slices[0]


def test_a_map_and_its_test_are_those_of_explain(predictor, found):
    tests = MapTests(predictor.model)
    request = MapRequest(found, "attention", layer=0, head=2)
    shares = tests.map(request)
    assert torch.equal(shares, explain(predictor.model, found.image[None], "attention", layer=0, head=2)[0])
    tested, test = tests.test(request)
    _, [expected] = faithfulness(predictor.model, found.image[None], "attention", layer=0, head=2)
    np.testing.assert_allclose(tested, shares)
    assert test == expected
    with pytest.raises(UserError, match="layer 9 does not exist"):
        tests.map(MapRequest(found, "attention", layer=9))


def test_relevance_is_for_the_class_of_the_request(predictor, found):
    for target in range(3):
        request = MapRequest(found, "relevance", target=target)
        expected = explain(predictor.model, found.image[None], "relevance", target=target)[0]
        assert torch.equal(MapTests(predictor.model).map(request), expected)


def test_a_test_that_is_no_longer_wanted_ends_at_the_next_forward_pass(predictor, found):
    tests, passes = MapTests(predictor.model), []
    request = MapRequest(found, "rollout")

    def count(*_):
        passes.append(1)
        request.stale = len(passes) == 3

    tests.copy.register_forward_hook(count)
    assert tests.test(request) is None
    assert len(passes) == 3
    assert tests.test(request) is None, "stale before it began"
    assert len(passes) == 3
    assert tests.test(MapRequest(found, "rollout")) is not None, "the next one is not affected"
    assert not predictor.model._forward_pre_hooks


def test_close_ends_what_runs_and_waits_for_it(predictor, found):
    tests = MapTests(predictor.model)
    begun, go_on, results = threading.Event(), threading.Event(), []

    def pause(*_):
        begun.set()
        go_on.wait(30)

    tests.copy.register_forward_hook(pause)
    running = threading.Thread(target=lambda: results.append(tests.test(MapRequest(found, "rollout"))))
    running.start()
    assert begun.wait(30)
    closing = threading.Thread(target=tests.close)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive(), "close must wait"
    go_on.set()
    closing.join(30)
    running.join(30)
    assert results == [None]
    assert tests.test(MapRequest(found, "rollout")) is None
