"""`Watched`: modules and what hangs below them, to notice when any of it has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from operator import attrgetter, is_

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

_VERSION = attrgetter("_version")  # of a tensor: torch counts the changes in place


class Watched:
    """What stood where: the modules and tensors below some modules, by the mapping and the name that hold them.

    Noticed are other modules, tensors, storage and dtypes (`half`, `to`, `load_state_dict` with or without `assign`, pruning),
    changes in place that torch counts, and steps of fused optimizers; not what is written through `.data` or numpy.
    """

    def __init__(self, modules: Iterable[nn.Module], places: Iterable[tuple[Mapping[str, object], str]] = ()) -> None:
        """Args: `places`, mappings and names in them whose values are watched too."""
        _watch_optimizers()
        found = [(held, name, held.get(name)) for held, name in places]
        for top in modules:
            for module in top.modules():
                for held in (module._modules, module._parameters, module._buffers):
                    found += [(held, name, value) for name, value in held.items()]
        self._holders, self._names, self._values = zip(*found, strict=True)
        self._stored = [value for value in self._values if isinstance(value, Tensor)]
        self._counted = [tensor for tensor in self._stored if not tensor.is_inference()]
        self._state = self._now()

    def changed(self) -> bool:
        """True if a module, a tensor or its storage is another one, or was changed in place. Cost: some microseconds."""
        here = map(dict.get, self._holders, self._names)
        return not all(map(is_, here, self._values)) or self._now() != self._state

    def _now(self) -> tuple[list[int], list[int], int]:
        """Where the numbers of each tensor are, how often torch saw them change, and the steps of fused optimizers."""
        return list(map(Tensor.data_ptr, self._stored)), list(map(_VERSION, self._counted)), _fused_steps


_fused_steps = 0  # of all optimizers in this process: torch does not count what fused ones write as changes in place


@cache
def _watch_optimizers() -> None:
    """Count the steps of fused optimizers, from the first modules on that are watched."""
    register_optimizer_step_post_hook(_count_step)


def _count_step(optimizer: Optimizer, *_: object) -> None:
    global _fused_steps
    _fused_steps += any(group.get("fused") for group in optimizer.param_groups)
