#!/usr/bin/env bash
# One run on several machines. Run on each of them, with the same arguments but its own address:
#
#   launch/two_nodes.sh HEAD_ADDRESS OWN_ADDRESS [option of train_simple_ddp.py ...]
#
# What to change: nothing but the addresses. In the environment can be set: NODES (2), GPUS (per machine; all), PORT
# (29400), RUN_ID (noise2music; another for each of several runs at a time), RESTARTS (3), JOIN_SECONDS (600: how long the
# machines wait for each other at the start), LOST_SECONDS (900: a machine that cannot reach the first one for so long
# ends its part; not below 30, on Linux only). The machines need the same code and the same dataset (on a shared disk, or
# each its own copy); checkpoints are written by the first rank. In a container: `docker run --init --network host`.
set -euo pipefail
head=${1:?address of the first machine}
own=${2:?address of this machine}
shift 2
port=${PORT:-29400}

# torchrun has no limit for an answer that never comes because the first machine, or the way to it, is gone.
end_without_head() {
  set +e             # the watch goes on when its message cannot be written
  trap '' PIPE HUP
  local heard=$SECONDS
  while sleep 5 && [ -e /proc/$$/exe ]; do # not yet ended
    if timeout 5 bash -c ": <>/dev/tcp/$head/$port" 2>/dev/null; then
      heard=$SECONDS
    elif ((SECONDS - heard > ${LOST_SECONDS:-900})); then
      echo "two_nodes.sh: $head has not answered on port $port for ${LOST_SECONDS:-900} s: this machine's part ends" >&2
      kill -TERM $$
      sleep 30 # a clean stop may take 20 s
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
