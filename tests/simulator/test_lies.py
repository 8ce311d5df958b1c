"""What a lying host of the lab says is what it was told to say, and its table leaves out no field."""

import importlib.util
import json
import math
from types import SimpleNamespace

import pytest

from tests.lab import lies, salt_config

TRUTH = {"copies": [{"name": "web01", "domid": 3}, {"name": "db01", "domid": 4}], "sent": [], "up": None}


@pytest.fixture
def host(tmp_path):
    (tmp_path / "control").mkdir()
    return SimpleNamespace(root=tmp_path)


@pytest.fixture
def executor():
    path = salt_config.LAB / "liar_executors" / "liar.py"
    spec = importlib.util.spec_from_file_location("liar", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_who_was_told_nothing_is_honest(host, executor):
    opts = {"lab": {"lies": str(lies.path_of(host.root))}}
    job = {"fun": "xm.copies", "arg": []}
    assert executor.execute(opts, job, lambda: TRUTH, (), {}) == TRUTH
    lies.tell(host, xm__copies={"answer": "no"})
    assert executor.execute(opts, job, lambda: TRUTH, (), {}) == "no"
    lies.be_honest(host)
    assert executor.execute(opts, job, lambda **keywords: keywords, (), {"a": 1}) == {"a": 1}


def test_a_lie_is_for_one_question(host):
    path = lies.path_of(host.root)
    lies.tell(host, xm__report={"answer": 1}, state__sls_of_xend__orch__send={"answer": 2})
    assert lies.lie_about(path, "xm.report", ["web01"]) == {"answer": 1}
    assert lies.lie_about(path, "state.sls", ["xend.orch.send"]) == {"answer": 2}
    assert lies.lie_about(path, "state.sls", ["xend.orch.leave"]) is None
    lies.tell_all(host, {"*": {"answer": 3}})
    assert lies.lie_about(path, "test.ping") == {"answer": 3}


@pytest.mark.parametrize(
    "lie, said",
    [
        ({}, TRUTH),
        ({"change": [[["up"], [1]]]}, dict(TRUTH, up=[1])),
        ({"change": [[["copies", "*", "name"], "x"]], "drop": [["sent"], ["up"]]},
         {"copies": [{"name": "x", "domid": 3}, {"name": "x", "domid": 4}]}),
        ({"change": [[["sent", 0, "id"], "x"]]}, dict(TRUTH, sent=[{"id": "x"}])),
        ({"change": [[["new", "inner"], 1]]}, dict(TRUTH, new={"inner": 1})),
        ({"change": [[[], None]]}, None),
        ({"answer": {"up": 1}, "change": [[["down"], 2]]}, {"up": 1, "down": 2}),
        ({"pad": 9}, "x" * 9),
    ],
)
def test_how_a_lie_alters_an_answer(lie, said):
    before = json.dumps(TRUTH)
    assert lies.told(lie, lambda: TRUTH) == said
    assert json.dumps(TRUTH) == before


def test_an_answer_instead_of_the_truth_does_not_look_for_it():
    assert lies.told({"answer": None}, lambda: 1 / 0) is None


def test_the_table_has_a_lie_of_every_kind_about_every_field(tmp_path):
    canary = str(tmp_path / "canary")
    found = list(lies.table(TRUTH, canary))
    kinds = {**lies.wrong_forms(), **lies.texts(canary)}
    for path in ([], ["copies"], ["copies", 0], ["copies", 0, "name"], ["sent"], ["up"]):
        told = {kind for about, kind, _ in found if about == path}
        true = lies.at(TRUTH, path)
        assert set(kinds) - told <= {"null" if true is None else "text", "list"}
        for about, _, value in found:
            if about == path:
                said = lies.told({"change": [[path, value]]}, lambda: TRUTH)
                new = lies.at(said, path)
                assert new == value or isinstance(value, float) and math.isnan(value)
    # As they travel.
    for _, _, value in found:
        json.loads(json.dumps(value))
