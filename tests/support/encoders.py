"""The files of a tiny checkpoint, read once per process: a thousand tests begin with the same four layers."""

import copy
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import transformers

_LOADERS = (
    transformers.AutoConfig,
    transformers.AutoTokenizer,
    transformers.AutoModel,
    transformers.AutoModelForSequenceClassification,
)
_LOADED = {}


@contextmanager
def read_once():
    """Inside the block, transformers' loaders return copies of what they loaded before from the same checkpoint.

    Only for folders that never change, such as those of `lateint.testing.tiny`. A load takes 110 ms, a copy 30 ms.
    """
    with ExitStack() as stack:
        for loader in _LOADERS:
            stack.enter_context(patch.object(loader, "from_pretrained", _remembering(loader.from_pretrained)))
        yield


def _remembering(load):
    def from_pretrained(source, **options):
        key = (load.__qualname__, load.__self__, str(source), *(f"{name}={value}" for name, value in sorted(options.items())))
        if key not in _LOADED:
            _LOADED[key] = load(source, **options)
        return copy.deepcopy(_LOADED[key])

    return from_pretrained
