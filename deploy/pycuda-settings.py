"""What PyCUDA's setup reads from /etc/aksetup-defaults.py while deploy/Dockerfile builds it."""

import sysconfig

_HEADERS = sysconfig.get_paths()["purelib"] + "/nvidia"

CUDA_INC_DIR = [f"{_HEADERS}/cuda_runtime/include", f"{_HEADERS}/cuda_profiler_api/include"]
CUDADRV_LIB_DIR = ["/pycuda"]
CUDA_ENABLE_CURAND = False
