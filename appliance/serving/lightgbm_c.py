"""The door to LightGBM's C API: the shared library of the installed wheel, opened without importing the package.

``import lightgbm`` loads pandas, scikit-learn and SciPy (185 MB, 2.4 s); ctypes loads the library alone.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import weakref
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.errors import BadInput, BundleRefused, NotReady
from appliance.features import LINEAR_TREES

_FLOAT64 = 1
_ROW_MAJOR = 1
_NORMAL = 0
_RAW = 1
_CONTRIBUTIONS = 3
_ALL_TREES = -1

_SYMBOLS = (
    "LGBM_GetLastError", "LGBM_RegisterLogCallback", "LGBM_BoosterLoadModelFromString", "LGBM_BoosterFree",
    "LGBM_BoosterGetNumFeature", "LGBM_BoosterCalcNumPredict", "LGBM_BoosterPredictForMat",
    "LGBM_BoosterPredictForMatSingleRowFastInit", "LGBM_BoosterPredictForMatSingleRowFast", "LGBM_FastConfigFree",
)  # fmt: skip

_DoublePointer = ctypes.POINTER(ctypes.c_double)
_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


@_LogCallback  # type: ignore[untyped-decorator]  # ctypes gives no type
def _discard(_: bytes) -> None:
    """LightGBM prints its warnings to stdout otherwise; what matters comes back as an error."""


@lru_cache(maxsize=1)
def open_library() -> ctypes.CDLL:
    """The shared library, once a process.

    Raises:
        NotReady: LightGBM is not installed, cannot be loaded, or its C API is not the one this program knows.
    """
    spec = importlib.util.find_spec("lightgbm")
    if spec is None or spec.origin is None:
        raise NotReady("LightGBM is not installed beside this program; run the installer again")
    path = Path(spec.origin).parent / "lib" / "lib_lightgbm.so"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as exc:
        raise NotReady(f"cannot load {path}: {exc}; on a minimal Debian install libgomp1") from exc
    missing = [name for name in _SYMBOLS if not hasattr(library, name)]
    if missing:
        raise NotReady(f"{path} lacks {', '.join(missing)}: this LightGBM has another C API; install release 4.7")
    _declare(library)
    library.LGBM_RegisterLogCallback(_discard)
    return library


def _declare(library: ctypes.CDLL) -> None:
    pointer, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    library.LGBM_BoosterLoadModelFromString.argtypes = [
        ctypes.c_char_p,
        ctypes.POINTER(number),
        ctypes.POINTER(pointer),
    ]
    library.LGBM_BoosterFree.argtypes = [pointer]
    library.LGBM_BoosterGetNumFeature.argtypes = [pointer, ctypes.POINTER(number)]
    library.LGBM_BoosterCalcNumPredict.argtypes = [pointer, number, number, number, number, ctypes.POINTER(size)]
    library.LGBM_BoosterPredictForMat.argtypes = [
        pointer, pointer, number, ctypes.c_int32, ctypes.c_int32, number, number, number, number, ctypes.c_char_p,
        pointer, pointer,
    ]  # fmt: skip
    library.LGBM_BoosterPredictForMatSingleRowFastInit.argtypes = [
        pointer, number, number, number, number, ctypes.c_int32, ctypes.c_char_p, ctypes.POINTER(pointer),
    ]  # fmt: skip
    library.LGBM_BoosterPredictForMatSingleRowFast.argtypes = [pointer, pointer, pointer, pointer]
    library.LGBM_FastConfigFree.argtypes = [pointer]


class SingleRow:
    """Scores one row at a time through a prepared call; for one thread alone."""

    def __init__(self, booster: Booster, *, raw: bool) -> None:
        library, columns = booster.library, booster.columns
        self._booster = booster
        self._call = library.LGBM_BoosterPredictForMatSingleRowFast
        config = ctypes.c_void_p()
        _check(
            library,
            library.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster.handle,
                _RAW if raw else _NORMAL,
                0,
                _ALL_TREES,
                _FLOAT64,
                columns,
                b"num_threads=1",
                ctypes.byref(config),
            ),
        )
        self._config = config
        weakref.finalize(self, library.LGBM_FastConfigFree, config).atexit = False
        self._input = (ctypes.c_double * columns)()
        self._output = (ctypes.c_double * booster.outputs)()
        self._length = ctypes.c_int64()
        self._input_address = ctypes.c_void_p(ctypes.addressof(self._input))
        self._output_address = ctypes.c_void_p(ctypes.addressof(self._output))
        self._length_address = ctypes.c_void_p(ctypes.addressof(self._length))
        self.buffer = memoryview(self._input).cast("B")
        """The row's own memory; write ``columns`` native float64 here, then call ``predict``."""

    def predict(self) -> list[float]:
        """The outputs for the row in ``buffer``."""
        if self._call(self._config, self._input_address, self._length_address, self._output_address):
            raise RuntimeError("LightGBM could not score a row that it scored when the model was loaded")
        return self._output[:]


class Booster:
    """A model in LightGBM's memory; freed with the last reference to it."""

    def __init__(self, text: bytes) -> None:
        """Read a model from its text.

        Raises:
            BundleRefused: LightGBM cannot read it.
        """
        self.library = open_library()
        self.handle = ctypes.c_void_p()
        iterations = ctypes.c_int()
        if not text.startswith(b"tree\n"):
            raise BundleRefused("model.txt does not start as a LightGBM model")
        if self.library.LGBM_BoosterLoadModelFromString(text, ctypes.byref(iterations), ctypes.byref(self.handle)):
            raise BundleRefused(f"LightGBM cannot read model.txt: {_last_error(self.library)}")
        weakref.finalize(self, self.library.LGBM_BoosterFree, self.handle).atexit = False
        columns = ctypes.c_int()
        _check(self.library, self.library.LGBM_BoosterGetNumFeature(self.handle, ctypes.byref(columns)))
        self.columns = columns.value
        self.iterations = iterations.value
        self.outputs = self._count(1, _NORMAL)
        self.is_linear = LINEAR_TREES.encode() in text

    def single_row(self, *, raw: bool = False) -> SingleRow:
        """A prepared call for one row; make one for each thread, one at a time (LightGBM issue 6142)."""
        return SingleRow(self, raw=raw)

    def predict(self, matrix: NDArray[np.float64], *, threads: int, raw: bool = False) -> NDArray[np.float64]:
        """Outputs of many rows; releases the GIL meanwhile.

        Args:
            matrix: float64, C-contiguous, shape ``(rows, columns)``.
            threads: OpenMP threads of this call.
            raw: The sums of the trees, before the objective's link.

        Returns:
            Shape ``(rows, outputs)``.
        """
        return self._predict(matrix, _RAW if raw else _NORMAL, threads=threads)

    def contributions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each column added to the raw score.

        Returns:
            Shape ``(rows, outputs, columns + 1)``; the last is the expected value.

        Raises:
            BadInput: Its trees are linear.
        """
        if self.is_linear:
            raise BadInput(
                "what a column contributed is not known of this version: its trees are linear (linear_tree); ask for "
                "the prediction without reasons"
            )
        flat = self._predict(matrix, _CONTRIBUTIONS, threads=1)
        return flat.reshape(len(matrix), self.outputs, self.columns + 1)

    def _predict(self, matrix: NDArray[np.float64], kind: int, *, threads: int) -> NDArray[np.float64]:
        rows = len(matrix)
        out = np.empty((rows, self._count(rows, kind) // rows if rows else 1), dtype=np.float64)
        if rows:
            length = ctypes.c_int64()
            _check(
                self.library,
                self.library.LGBM_BoosterPredictForMat(
                    self.handle, matrix.ctypes.data, _FLOAT64, rows, matrix.shape[1], _ROW_MAJOR, kind, 0, _ALL_TREES,
                    f"num_threads={threads}".encode(), ctypes.addressof(length), out.ctypes.data,
                ),
            )  # fmt: skip
        return out

    def _count(self, rows: int, kind: int) -> int:
        count = ctypes.c_int64()
        _check(
            self.library,
            self.library.LGBM_BoosterCalcNumPredict(self.handle, rows, kind, 0, _ALL_TREES, ctypes.byref(count)),
        )
        return count.value


def is_close(left: float, right: float, *, tolerance: float = 1e-12) -> bool:
    """Equal to a relative tolerance; two NaN are equal."""
    return math.isclose(left, right, rel_tol=tolerance, abs_tol=1e-300) or (math.isnan(left) and math.isnan(right))


def _check(library: ctypes.CDLL, code: int) -> None:
    if code:
        raise BundleRefused(f"LightGBM refused the model: {_last_error(library)}")


def _last_error(library: ctypes.CDLL) -> str:
    return str((library.LGBM_GetLastError() or b"").decode(errors="replace"))
