"""Load pretrained encoders from a folder, a package or the hub. safetensors or int8 only, never remote code."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lateint.backbone.base import Backbone, adapt, check_family
from lateint.backbone.seeding import seeded
from lateint.backbone.tokenizer import TextEncoder, clear_panics
from lateint.errors import DamagedCheckpoint, LateintError, ModelError
from lateint.loading.onnx_weights import read_state
from lateint.loading.packaged import OnnxFolder, Source, not_found
from lateint.methods.method import Method
from lateint.methods.presets import preset
from lateint.methods.registry import Part, find, parse
from lateint.model.int8 import ENCODER, decoded, encoder_part
from lateint.model.model import PRIVATE_SEED
from lateint.model.saving import TENSORS
from lateint_store.arguments import check_kind

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True, slots=True)
class MethodOverrides:
    """Fields of a method that a caller replaces. `compressor`: a part, text as on the command line, or "none".

    Raises: InputError for a compressor of another type.
    """

    offline_layers: int | str | None = None
    query_max_length: int | None = None
    doc_max_length: int | None = None
    compressor: str | Part | None = None

    def __post_init__(self) -> None:
        check_kind(self.compressor, "compressor", str | Part | None, "a lateint.part, its text, or 'none'")

    def apply(self, method: Method) -> Method:
        """Return the method with these overrides. If query depth and L are equal, both change together."""
        if self.offline_layers is not None:
            same = method.query_layers == method.offline_layers
            query = self.offline_layers if same else method.query_layers
            method = replace(method, offline_layers=self.offline_layers, query_layers=query)
        if self.query_max_length is not None:
            method = replace(method, query=replace(method.query, max_length=self.query_max_length))
        if self.doc_max_length is not None:
            method = replace(method, document=replace(method.document, max_length=self.doc_max_length))
        if self.compressor == "none":
            return replace(method, compressor=None)
        if self.compressor is not None:
            chosen = parse("compressors", self.compressor) if isinstance(self.compressor, str) else self.compressor
            method = replace(method, compressor=chosen)
        return method


def pretrained(
    source: Source, method: Method | None, changes: MethodOverrides, dtype: torch.dtype
) -> tuple[Backbone, TextEncoder, Method]:
    """Load an encoder with its tokenizer, and choose the method if none is given.

    Raises: ModelError for an unsupported family, a checkpoint without safetensors or tokenizer, or remote code.
    """
    if isinstance(source, Path):
        _check_folder(source)
    with quiet(), _clear_errors(source):
        config = _configuration(source)
        if getattr(config, "auto_map", None):
            raise ModelError(f"{source} wants to run code of its own (auto_map); lateint never runs remote code")
        check_family(str(config.model_type))
        classifier = any("ForSequenceClassification" in name for name in config.architectures or [])
        if method is None:
            method = preset("prettr" if classifier else "cosine")
        method = changes.apply(method)
        wants = _needs_classifier(method.head)
        if wants and not classifier:
            config.num_labels = 1
        with seeded(PRIVATE_SEED):
            loaded, missing = _read_weights(source, config, wants, dtype)
        texts = _texts(source.path if isinstance(source, OnnxFolder) else source)
    backbone = adapt(loaded)
    _check_complete(source, backbone, missing, whole=wants and classifier)
    return backbone, texts, method


def _configuration(source: Source) -> PreTrainedConfig:
    from transformers import AutoConfig, BertConfig

    if isinstance(source, OnnxFolder):
        return BertConfig(**source.configuration)
    config: PreTrainedConfig = AutoConfig.from_pretrained(source, trust_remote_code=False)
    return config


def _read_weights(
    source: Source, config: PreTrainedConfig, classifier: bool, dtype: torch.dtype
) -> tuple[PreTrainedModel, set[str]]:
    """Return the transformers model, and the names of the weights that the checkpoint lacks; those are drawn at random."""
    import transformers
    from transformers.models.auto import modeling_auto as auto

    common = {"config": config, "dtype": dtype, "output_loading_info": True}
    if (state := _int8_state(source)) is None:
        loader = getattr(transformers, "AutoModel" + ("ForSequenceClassification" if classifier else ""))
        loaded, found = loader.from_pretrained(source, use_safetensors=True, trust_remote_code=False, **common)
    else:  # an Auto class takes no weights from memory
        classes = auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES if classifier else auto.MODEL_MAPPING_NAMES
        loader = getattr(transformers, str(classes[str(config.model_type)]))
        loaded, found = loader.from_pretrained(None, state_dict=state, **common)
    return loaded, set(found["missing_keys"])


def _int8_state(source: Source) -> dict[str, Tensor] | None:
    """Read weights that transformers cannot read: of an int8 ONNX file or checkpoint. None for any other source.

    Raises: DamagedCheckpoint, ModelError; MissingExtra without onnx.
    """
    if isinstance(source, OnnxFolder):
        return read_state(source.path / "model.onnx")
    if isinstance(source, str) or not (file := source / TENSORS).is_file():
        return None
    with safe_open(file, framework="pt") as tensors:
        kept = {name: tensors.get_tensor(name) for name in tensors.keys() if name.startswith(ENCODER)}  # noqa: SIM118
    try:
        return decoded(encoder_part(kept)) if kept else None
    except (KeyError, RuntimeError, ValueError) as error:
        raise DamagedCheckpoint(f"{file} holds int8 weights that cannot be decoded: {error}; download it again") from error


def _needs_classifier(head: Part) -> bool:
    """True if a head reads the checkpoint's classification head; a head with its own readout does not."""
    return bool(find("heads", head.name).needs_classifier) and dict(head.settings).get("readout", "cls") == "cls"


def _check_complete(source: Source, backbone: Backbone, missing: set[str], whole: bool) -> None:
    """Reject a checkpoint that lacks weights; transformers would use random ones. A missing classifier is allowed.

    Raises: DamagedCheckpoint.
    """
    needed = set(backbone.tensors(len(backbone.layers)))
    lost = sorted(name for name in missing if whole or name.removeprefix(f"{backbone.model.base_model_prefix}.") in needed)
    if lost:
        raise DamagedCheckpoint(f"{source} lacks {len(lost)} of the weights that its config.json promises, such as {lost[0]}")


def _texts(source: Path | str) -> TextEncoder:
    """Load the tokenizer of a checkpoint. Raises: ModelError."""
    from transformers import AutoTokenizer

    try:
        with clear_panics():
            return TextEncoder(AutoTokenizer.from_pretrained(source, trust_remote_code=False))
    except ModelError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise ModelError(f"the tokenizer of {source} cannot be loaded: {error}; save it beside the weights") from error


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json; expected a transformers or lateint checkpoint")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DamagedCheckpoint(f"{folder / 'config.json'} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise DamagedCheckpoint(f"{folder / 'config.json'} holds a {type(config).__name__}; expected a JSON object")
    if config.get("auto_map"):
        raise ModelError(f"{folder} wants to run code of its own (auto_map); lateint never runs remote code")
    check_family(str(config.get("model_type")))
    if not list(folder.glob("*.safetensors")):
        pickled = sorted(file.name for file in folder.glob("*.bin"))
        hint = f"; it has {pickled[0]}, which is pickle: convert it to safetensors first" if pickled else ""
        raise ModelError(f"{folder} has no *.safetensors weights{hint}")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model")):
        raise ModelError(f"{folder} has no tokenizer (tokenizer.json); save it beside the weights")


@contextlib.contextmanager
def _clear_errors(source: Source) -> Iterator[None]:
    """Replace errors of transformers and safetensors by errors of lateint that say what to do."""
    try:
        yield
    except LateintError:
        raise  # already clear
    except SafetensorError as error:
        raise DamagedCheckpoint(f"weights of {source} cannot be read: {error}") from error
    except OSError as error:
        if isinstance(source, str):
            raise not_found(source) from error
        raise ModelError(f"{source} cannot be loaded: {error}") from error
    except Exception as error:  # transformers raises errors of several libraries for a value that it cannot use
        raise ModelError(f"{source} cannot be loaded: {error}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' load reports and progress bars off the user's terminal."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
