"""`ModelMatch`: a model that fits a store. It is checked again once something below the stored arrays may have changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import attrgetter, is_

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from lateint.indexing.compatibility import check_model
from lateint.model.model import Model
from lateint_store import Store

_BELOW = ("backbone", "compressor", "vector_map")  # modules that stored arrays may have passed through
_VERSION = attrgetter("_version")  # of a tensor: torch counts the changes in place
_SETTINGS = ("method", "texts", "pool", "vector_pool")  # attributes of a model that are no modules


class ModelMatch:
    """A model that fits a store, as `check_model` says; it is checked again after a change below stored arrays.

    Noticed are other modules, tensors, storage and dtypes (`half`, `to`, `load_state_dict` with or without `assign`, pruning),
    changes in place that torch counts, and steps of fused optimizers; not what is written through `.data` or numpy.
    """

    def __init__(self, model: Model, store: Store, arrays: Sequence[str] | None = None) -> None:
        """Raises: StoreMismatch."""
        self._model, self._store, self._arrays = model, store, arrays
        self._seen: ModelParts | None = None
        self.check()

    def check(self) -> None:
        """Raises: StoreMismatch. Cost: some microseconds; after a change, that of `check_model`."""
        if self._seen is None or self._seen.changed():
            seen = ModelParts(self._model)  # before the check: what changes during it is noticed by the next
            check_model(self._model, self._store, self._arrays)
            self._seen = seen


class ModelParts:
    """What stood where in a model: modules and tensors below stored arrays, by the mapping and the name that hold them."""

    def __init__(self, model: Model) -> None:
        _watch_optimizers()
        top = [*_BELOW, *(["head"] if model.head.stored_tensors() else [])]
        places = [(model.__dict__, name, model.__dict__.get(name)) for name in _SETTINGS]
        places += [(model._modules, name, model._modules.get(name)) for name in top]
        for part in [model._modules.get(name) for name in top]:
            for module in [] if part is None else part.modules():
                for held in (module._modules, module._parameters, module._buffers):
                    places += [(held, name, value) for name, value in held.items()]
        self._holders, self._names, self._values = zip(*places, strict=True)
        self._stored = [value for value in self._values if isinstance(value, Tensor)]
        self._counted = [tensor for tensor in self._stored if not tensor.is_inference()]
        self._state = self._now()

    def changed(self) -> bool:
        """True if a module, a tensor or its storage is another one, or was changed in place."""
        here = map(dict.get, self._holders, self._names)
        return not all(map(is_, here, self._values)) or self._now() != self._state

    def _now(self) -> tuple[list[int], list[int], int]:
        """Where the numbers of each tensor are, how often torch saw them change, and the steps of fused optimizers."""
        return list(map(Tensor.data_ptr, self._stored)), list(map(_VERSION, self._counted)), _fused_steps


_fused_steps = 0  # of all optimizers in this process: torch does not count what fused ones write as changes in place


@cache
def _watch_optimizers() -> None:
    """Count the steps of fused optimizers, from the first model on whose parts are noted."""
    register_optimizer_step_post_hook(_count_step)


def _count_step(optimizer: Optimizer, *_: object) -> None:
    global _fused_steps
    _fused_steps += any(group.get("fused") for group in optimizer.param_groups)
