#!/usr/bin/env bash
# One run on several machines. Run on each of them, with the same arguments but its own address:
#
#   launch/two_nodes.sh HEAD_ADDRESS OWN_ADDRESS [option of train_simple_ddp.py ...]
#
# What to change: nothing but the addresses. NODES, GPUS and PORT can be set in the environment. The machines need the
# same code and the same dataset (on a shared disk, or each its own copy); checkpoints are written by the first rank.
# A machine that cannot reach the first one for LOST_SECONDS (15 minutes) ends its part.
set -euo pipefail
head=${1:?address of the first machine}
own=${2:?address of this machine}
shift 2
port=${PORT:-29400}

# torchrun has no limit for an answer that never comes because the first machine, or the way to it, is gone.
end_without_head() {
  local heard=$SECONDS
  while sleep 5 && [ -e /proc/$$/exe ]; do # not yet ended
    if timeout 5 bash -c ": <>/dev/tcp/$head/$port" 2>/dev/null; then
      heard=$SECONDS
    elif ((SECONDS - heard > ${LOST_SECONDS:-900})); then
      echo "two_nodes.sh: $head has not answered on port $port for ${LOST_SECONDS:-900} s: this machine's part ends" >&2
      kill -TERM $$
      sleep 10
      kill -KILL $$
    fi
  done
}
[ "$own" = "$head" ] || end_without_head &

exec torchrun \
  --nnodes "${NODES:-2}" \
  --nproc_per_node "${GPUS:-gpu}" \
  --rdzv_backend c10d \
  --rdzv_endpoint "$head:$port" \
  --rdzv_id "${RUN_ID:-noise2music}" \
  --rdzv_conf "is_host=$([ "$own" = "$head" ] && echo true || echo false),join_timeout=${JOIN_SECONDS:-600},read_timeout=15" \
  --local_addr "$own" \
  --max_restarts "${RESTARTS:-3}" \
  train_simple_ddp.py --resume auto "$@"
