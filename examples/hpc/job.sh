#!/bin/sh
# A batch job whose nodes read from their own disks. On the login node, once, where there is a network:
#
#     conda assets fetch -f environment.yml          # into the shared store
#     sbatch job.sh
#
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --time=04:00:00
set -eu

stage="${SLURM_TMPDIR:-/tmp/$(id -un).$SLURM_JOB_ID}"

# One task a node copies, in parallel; nobody has to go out.
srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 conda assets sync -n bert -f environment.yml --offline --stage "$stage" >/dev/null

# Each task finds the copies there (some 0.3 s), and works with variables that lead to them.
# shellcheck disable=SC2016 # expanded by the tasks
STAGE="$stage" srun sh -c '
    variables=$(conda assets sync -q -n bert -f environment.yml --offline --stage "$STAGE") || exit
    eval "$variables"
    exec python train.py --weights "$GPT2_WEIGHTS"
'

srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 rm -rf "$stage"
