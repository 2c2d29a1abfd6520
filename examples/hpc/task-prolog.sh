#!/bin/sh
# Slurm's TaskProlog (slurm.conf: TaskProlog=/etc/slurm/task-prolog.sh), for users who set ASSETS_ENV in their jobs:
#
#     ASSETS_ENV=bert ASSETS_FILE=$HOME/bert/environment.yml sbatch job.sh
#
# It runs as the user before each task; Slurm takes its lines `export NAME=value` into the task's environment, shows those that
# begin with `print`, and drops what it says on stderr.
# The folder has to be one of the job (pam_namespace, job_container/tmpfs), or be removed by an Epilog:
#
#     rm -rf -- "/local/nvme/$SLURM_JOB_USER.$SLURM_JOB_ID"
[ -n "${ASSETS_ENV:-}" ] || exit 0
stage="${SLURM_TMPDIR:-/local/nvme/$SLURM_JOB_USER.$SLURM_JOB_ID}"
why=$(mktemp) || exit 0
/opt/conda/bin/conda-assets sync -q -n "$ASSETS_ENV" -f "$ASSETS_FILE" --offline --stage "$stage" 2>"$why" || {
    echo "print conda-assets: the task goes on with the shared files"
    sed 's/^/print /' "$why"
}
rm -f -- "$why"
