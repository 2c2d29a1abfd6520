#!/bin/sh
# An image without data: packages inside, files outside, on the node's disk and read-only. Also for Singularity 3 and newer.
#
#     apptainer build bert.sif apptainer.def
#     sh apptainer.sh bert.sif python train.py
set -eu

image="$1"
shift
stage="${SLURM_TMPDIR:-/tmp/$(id -un).assets}"

# The file names the assets, and need not name an environment: the prefix is only what the view is called after.
variables=$(conda-assets sync -q -f environment.yml -p ./bert --offline --stage "$stage")
eval "$variables"

# The same paths inside as outside, so that the variables are right in both.
exec apptainer exec --bind "$stage:$stage:ro" --env "CONDA_ASSETS_DIR=$CONDA_ASSETS_DIR,GPT2_WEIGHTS=$GPT2_WEIGHTS" "$image" "$@"
