"""Dropout on a CPU with masks cut from machine words.

PyTorch draws one random number for each element of a mask; drawn 64 bits at a time, each word decides about four of
them. On a CPU that is a tenth of the cost, and dropout is a tenth of the training of a small encoder in bf16. Rates
are rounded to a 65,536th (0.1 becomes 0.100006) and the scale follows the rounded rate, so that the expected value
stays exact. The numbers come from PyTorch's own generator: seeds and checkpoints hold for them as for everything else.
Masks differ from those that PyTorch would draw, which no result may depend on.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.speed_lever import LeverState

STEPS = 1 << 16
"""Values of the 16 bits that decide about an element."""


MARK = "_masks_from_words"
"""Attribute of every module of a quickened model: attention gets its rate as a number, and asks its own module how."""


def drop(values: torch.Tensor, rate: float) -> torch.Tensor:
    """`values` with each element 0 with probability `rate` (below 1) and the others scaled up; differentiable."""
    return _Drop.apply(values, steps_dropped(rate))  # type: ignore[no-untyped-call, no-any-return]  # PyTorch leaves it untyped


def steps_dropped(rate: float) -> int:
    """How many of the STEPS values of its 16 bits drop an element; at least one keeps it."""
    # A rate that rounds to 1 would leave nothing to scale.
    return min(round(rate * STEPS), STEPS - 1)


def scale_of_kept(dropped: int) -> float:
    """What a kept element is multiplied by, so that the expected value stays."""
    return STEPS / (STEPS - dropped)


def draw(elements: int) -> torch.Tensor:
    """16 random bits for each element, int16, drawn 64 at a time."""
    words = torch.empty((elements + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[:elements]


def kept(bits: torch.Tensor, dropped: int, dtype: torch.dtype) -> torch.Tensor:
    """1 where the element stays and 0 where it goes, in the shape of `bits`.

    In the numbers' own type: multiplying by a bool costs 20 times as much, since every element is converted.
    """
    return torch.ge(bits, dropped - STEPS // 2, out=torch.empty(bits.shape, dtype=dtype))


def draws_from_words(module: torch.nn.Module) -> bool:
    """Whether the module belongs to a model that `quicken_dropout` has switched."""
    return bool(getattr(module, MARK, False))


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, dropped: int) -> torch.Tensor:
        bits = draw(values.numel()).view(values.shape)
        # The bits are half as large as a mask of float32, and the mask is made from them again in no time.
        ctx.save_for_backward(bits)
        ctx.dropped = dropped
        return (values * kept(bits, dropped, values.dtype)).mul_(scale_of_kept(dropped))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (bits,) = ctx.saved_tensors
        mask = kept(bits, ctx.dropped, gradients[0].dtype)
        return (gradients[0] * mask).mul_(scale_of_kept(ctx.dropped)), None


class WordDropout(torch.nn.Dropout):
    """`torch.nn.Dropout` whose masks are cut from words; `masks` counts them."""

    masks = 0

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As `torch.nn.Dropout`."""
        if not self.training or not 0.0 < self.p < 1.0 or input.device.type != "cpu":
            return super().forward(input)
        self.masks += 1
        return drop(input, self.p)


def quicken_dropout(model: torch.nn.Module, asked: Literal["auto", "on", "off"], device: str) -> LeverState:
    """Give every `torch.nn.Dropout` of `model`, and its padding-free attention, masks cut from words, on a CPU.

    Returns what was chosen and why.

    The model's weights and its saved form do not change. With `on` another device raises PreconditionError.
    """

    def state(chosen: str, reason: str) -> LeverState:
        return LeverState(name="word_dropout", asked=asked, chosen=chosen, reason=reason)

    if asked == "off":
        return state("off", "the recipe says off")
    if device != "cpu":
        if asked == "on":
            raise PreconditionError(
                f"training.word_dropout is `on`, but the device is {device}, which draws masks faster itself; set it "
                "to `auto` or `off`."
            )
        return state("off", f"{device} draws masks faster itself")
    found = [module for module in model.modules() if type(module) is torch.nn.Dropout and module.p > 0]
    if not found:
        return state("off", "the model has no dropout layer")
    for module in found:
        module.__class__ = WordDropout  # has no state of its own: hooks, mode and rate stay as they are
    for part in model.modules():
        setattr(part, MARK, True)
    return state("on", f"{len(found)} dropout layers draw four elements of a mask at a time")


def masks_drawn(model: torch.nn.Module) -> int:
    """Masks that the layers of `quicken_dropout` have drawn."""
    return sum(module.masks for module in model.modules() if isinstance(module, WordDropout))
