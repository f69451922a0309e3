#!/usr/bin/env bash
# One run on several machines. Run on each of them, with the same arguments but its own address:
#
#   launch/two_nodes.sh HEAD_ADDRESS OWN_ADDRESS [option of train_simple_ddp.py ...]
#
# What to change: nothing but the addresses. NODES, GPUS and PORT can be set in the environment. The machines need the
# same code and the same dataset (on a shared disk, or each its own copy); checkpoints are written by the first rank.
set -euo pipefail
head=${1:?address of the first machine}
own=${2:?address of this machine}
shift 2
exec torchrun \
  --nnodes "${NODES:-2}" \
  --nproc_per_node "${GPUS:-gpu}" \
  --rdzv_backend c10d \
  --rdzv_endpoint "$head:${PORT:-29400}" \
  --rdzv_id "${RUN_ID:-noise2music}" \
  --rdzv_conf "is_host=$([ "$own" = "$head" ] && echo true || echo false),join_timeout=${JOIN_SECONDS:-600},read_timeout=15" \
  --local_addr "$own" \
  --max_restarts "${RESTARTS:-3}" \
  train_simple_ddp.py --resume auto "$@"
