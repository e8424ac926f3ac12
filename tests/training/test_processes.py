"""Batch normalisation over processes against torch's own; test_loop.py has them train together."""

import pytest
import torch
from torch import nn

from pipeline.training.processes import SharedBatchNorm


@pytest.fixture
def group():
    """A group of one process, in which both kinds see the same images."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def norms():
    ours, theirs = SharedBatchNorm(3), nn.BatchNorm2d(3)
    with torch.no_grad():
        for norm in (ours, theirs):
            norm.weight.copy_(torch.tensor([0.5, 1.0, -2.0]))
            norm.bias.copy_(torch.tensor([0.0, 3.0, 1.0]))
    return ours, theirs


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_it_normalises_as_torch_does(group, dtype, atol):
    images = 2 * torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 1
    wanted = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = []
    for norm in norms():
        x = images.to(dtype).requires_grad_()
        y = norm(x)
        (y * wanted).sum().backward()
        assert y.dtype == x.grad.dtype == dtype
        found.append([y, x.grad, norm.running_mean, norm.running_var])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def test_a_constant_channel_stays_finite(group):
    """Its variance comes out below 0 by more than torch adds to it."""
    images = torch.full((2, 3, 16, 16), 1000.1)
    ours, _ = norms()
    channels = (0, 2, 3)
    assert (images.square().mean(channels) - images.mean(channels).square() < -ours.eps).all()
    assert ours(images).isfinite().all()
    assert (ours.running_var >= 0).all()
