#!/usr/bin/env bash
# The checks and benchmarks that need a GPU, in one go; about an hour. Run it in an environment with a CUDA build of
# torch and `pip install -e '.[dev,demo]'`; it writes benchmarks/results/gpu/.
set -euo pipefail
cd "$(dirname "$0")/.."
python -c "import torch; assert torch.cuda.is_available(), 'this torch sees no GPU'"
export PEFTCOST_RESULTS=benchmarks/results/gpu
python -m pytest tests/methods tests/engine/test_rehearsal.py
python benchmarks/prediction.py
python benchmarks/meter.py 3
python benchmarks/engine.py
peftcost search --task builtin:tweets --budget 10gpu-min --devices cuda -o runs/gpu-tweets
