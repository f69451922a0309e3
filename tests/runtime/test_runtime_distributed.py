"""Ranks decide together: what each exchange gives, on one rank and on two, and no wait without an end."""

import json

import pytest
import torch
from forked_ranks import ForkedRanks
from ranks_talk import converse, run, run_with_a_slow_peer

from runtime import distributed
from runtime.distributed import Ranks

ALONE = Ranks(0, 0, 1, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("talk")
    ranks = ForkedRanks(2, run, str(folder))
    assert ranks.wait(60) == [0, 0], ranks.output(0, "err") + ranks.output(1, "err")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_what_two_ranks_agree_on(said):
    for heard in said:
        assert heard["any of none"] is False
        assert heard["any of the last"] is True
        assert heard["votes"] == [True, True, False]
        assert heard["gathered"] == [{"rank": 0}, {"rank": 1}]
        assert heard["mean"] == [1.5, 15.0]
        assert heard["sum"] == pytest.approx([0.3], abs=1e-15)
        assert heard["from main"] == ["main", 0]
        assert (heard["bytes"], heard["no bytes"]) == ("ab" * 5, "")


def test_main_goes_first_and_its_error_is_reported_once(said):
    assert [heard["main first"] for heard in said] == ["result 0", "result 1"]
    assert [heard["main fails"] for heard in said] == [
        "user error: no such folder",
        "reported elsewhere: no such folder",
    ]
    assert [heard["asked"] for heard in said] == [[0], [1]]  # the others did not even begin


def test_while_one_works_all_stay_in_touch(said):
    assert [heard["one works"] for heard in said] == ["result made", "result None"]
    assert said[0]["work fails"] == "user error: bad clip"
    assert said[1]["work fails"].startswith("reported elsewhere")
    assert [heard["stopped"] for heard in said] == ["interrupted"] * 2
    assert all(heard["took"] < 20 for heard in said)  # nobody waited for the work of 30 s


def test_a_rank_alone_agrees_with_itself():
    heard = converse(ALONE)
    assert (heard["any of none"], heard["any of the last"], heard["votes"]) == (False, True, [True, False, False])
    assert (heard["gathered"], heard["from main"], heard["bytes"]) == ([{"rank": 0}], ["main", 0], "ab" * 5)
    assert (heard["mean"], heard["main first"], heard["one works"]) == ([1.0, 10.0], "result 0", "result made")
    assert (heard["main fails"], heard["work fails"]) == ("user error: no such folder", "user error: bad clip")
    assert heard["stopped"] == "interrupted"


def test_a_rank_waits_no_longer_than_the_limit(tmp_path):
    ranks = ForkedRanks(2, run_with_a_slow_peer, str(tmp_path))
    assert ranks.wait(60)[0] == 7, ranks.output(0, "err")
    lost, seconds = json.loads((tmp_path / "waited.json").read_text())
    assert lost
    assert 2 < seconds < 5.5  # 0.05 minutes are 3 s


def test_one_rank_is_not_wrapped_and_a_frozen_network_neither():
    module = torch.nn.Linear(2, 2)
    assert ALONE.wrap(module) is module
    two = Ranks(0, 0, 2, 2, torch.device("cpu"))
    assert two.wrap(module.requires_grad_(False)) is module


def test_threads_are_shared_out():
    before = torch.get_num_threads()
    try:
        distributed.share_cores(3, 1)
        assert torch.get_num_threads() == 3
        distributed.share_cores(0, 10_000)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_lost_peers_differ_from_other_errors():
    assert distributed.is_lost_peer(RuntimeError("Connection closed by peer [127.0.0.1]:1234"))
    assert distributed.is_lost_peer(torch.distributed.DistBackendError("x"))
    assert not distributed.is_lost_peer(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_on_gpus_attention_repeats_only_by_matrix_products():
    """Gradients of the fused kernels differ from call to call while torch only warns of what does not repeat."""
    gpu, cuda = torch.device("cuda"), torch.backends.cuda
    fused = (cuda.flash_sdp_enabled, cuda.mem_efficient_sdp_enabled, cuda.cudnn_sdp_enabled)
    try:
        assert distributed.repeat_exactly(gpu, True) is None
        assert not any(enabled() for enabled in fused) and cuda.math_sdp_enabled()
        assert torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.deterministic
        assert "--deterministic" in distributed.repeat_exactly(gpu, False)
    finally:
        distributed.repeat_exactly(gpu, False)
    assert all(enabled() for enabled in fused) and not torch.are_deterministic_algorithms_enabled()
