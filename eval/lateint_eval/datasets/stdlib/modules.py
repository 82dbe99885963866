"""The parts of the standard library in the demo corpus: modules that programmers use and that no Python version removed.

The lists are strings of names separated by white space.
"""

# Modules whose docstrings are in C or inherited; they are built in, or harmless to import.
IMPORTED = """
    builtins math itertools collections functools datetime decimal time os posix nt pathlib sys gc re array
    _struct zlib binascii _csv _pickle _signal _socket _sqlite3 unicodedata atexit _weakref _contextvars
    faulthandler
"""

# Modules whose source is parsed and never run.
PARSED = """
    os.path io shutil tempfile glob fnmatch filecmp string textwrap difflib pprint locale calendar zoneinfo
    timeit fractions statistics random secrets collections.abc collections heapq bisect queue graphlib copy
    weakref types enum dataclasses abc functools operator contextlib typing threading multiprocessing
    concurrent.futures subprocess asyncio signal selectors socket ipaddress http urllib.parse urllib.request
    urllib.error smtplib email email.message email.utils mimetypes webbrowser html html.parser
    xml.etree.ElementTree json json.decoder json.encoder csv configparser tomllib pickle shelve base64 hashlib
    hmac uuid gzip bz2 lzma zipfile tarfile argparse getpass shlex logging logging.handlers warnings traceback
    inspect ast keyword unittest unittest.mock tracemalloc cProfile importlib importlib.metadata
    importlib.resources runpy sysconfig platform
"""

# Source files of modules whose name does not give their path; the first file holds the module's docstring.
_SOURCES = {
    "asyncio": """
        asyncio/__init__.py asyncio/runners.py asyncio/tasks.py asyncio/taskgroups.py asyncio/timeouts.py
        asyncio/threads.py asyncio/locks.py asyncio/queues.py asyncio/streams.py asyncio/subprocess.py
        asyncio/futures.py asyncio/exceptions.py
    """,
    "collections.abc": "_collections_abc.py",
    "concurrent.futures": """
        concurrent/futures/__init__.py concurrent/futures/_base.py concurrent/futures/thread.py
        concurrent/futures/process.py
    """,
    "importlib.resources": "importlib/resources/__init__.py importlib/resources/_common.py",
    "io": "_pyio.py",
    "multiprocessing": """
        multiprocessing/__init__.py multiprocessing/context.py multiprocessing/process.py multiprocessing/pool.py
        multiprocessing/queues.py multiprocessing/shared_memory.py
    """,
    "os.path": "posixpath.py genericpath.py",
    "tomllib": "tomllib/_parser.py",
    "unittest": """
        unittest/__init__.py unittest/case.py unittest/suite.py unittest/loader.py unittest/runner.py
        unittest/result.py unittest/main.py unittest/async_case.py
    """,
    "weakref": "weakref.py _weakrefset.py",
    "zoneinfo": "zoneinfo/_zoneinfo.py zoneinfo/_tzpath.py zoneinfo/_common.py",
}

# Prefixes of names that are left out: they repeat the docs of a better known name, or few people use them.
SKIPPED = """
    array.array. asyncio.Barrier. asyncio.Condition. asyncio.Event. asyncio.Lock. asyncio.Queue. asyncio.Semaphore.
    asyncio.StreamReader. builtins.bytearray. builtins.bytes.expandtabs builtins.bytes.is builtins.bytes.replace
    builtins.frozenset. bz2.BZ2File. calendar.HTMLCalendar. calendar.TextCalendar. decimal.Context.
    decimal.Decimal.compare_ decimal.Decimal.is_ decimal.Decimal.logical_ decimal.Decimal.max_ decimal.Decimal.min_
    decimal.Decimal.next_ email.message.Message.get_ email.message.Message.set_ gzip.GzipFile.
    importlib.metadata.Distribution io.Buffered io.BytesIO. io.FileIO. io.IncrementalNewlineDecoder io.RawIOBase.
    ipaddress.IPv6 ipaddress.v4 ipaddress.v6 logging.BufferingFormatter. logging.LoggerAdapter.
    logging.handlers.Base logging.handlers.BufferingHandler. logging.handlers.DatagramHandler.
    logging.handlers.HTTPHandler. logging.handlers.MemoryHandler. logging.handlers.NTEventLogHandler.
    logging.handlers.QueueHandler. logging.handlers.QueueListener. logging.handlers.SMTPHandler.
    logging.handlers.SocketHandler. logging.handlers.SysLogHandler. lzma.LZMAFile. os.W os.getres os.initgroups
    os.lchown os.lockf os.major os.makedev os.minor os.pidfd os.posix_ os.preadv os.sched_ os.sete os.setre
    os.setres os.wait3 os.wait4 pickle.PickleBuffer. re.Pattern. smtplib.SMTP. sqlite3.Blob. struct.Struct.
    tarfile.TarFile.make tarfile.TarInfo. textwrap.TextWrapper. traceback.StackSummary. unicodedata.UCD
    unittest.BaseTestSuite unittest.TestLoader.loadTests unittest.TestProgram unittest.TestResult.
    unittest.TestSuite. unittest.mock.NonCallableMock. urllib.request.FancyURLopener urllib.request.URLopener.
    xml.etree.ElementTree.TreeBuilder. xml.etree.ElementTree.XMLPull
"""


def public_name(imported: str) -> str:
    """Return the public name of a module in IMPORTED: `struct` for `_struct`, `os` for `posix`."""
    return "os" if imported in ("posix", "nt") else imported.lstrip("_")


def source_files(parsed: str) -> list[str]:
    """Return the possible source files of a module in PARSED, relative to the standard library's folder."""
    path = parsed.replace(".", "/")
    return _SOURCES.get(parsed, f"{path}.py {path}/__init__.py").split()
