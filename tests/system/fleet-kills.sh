#!/bin/bash
# Real agents at work, and a phoenixd that is killed again and again at seeded moments: all come back, no operation
# that was acknowledged is lost or begun twice, no event is lost or in the log twice (tests/fleet/kills.c).
# By hand at full size: PH_AGENTS=1000 PH_KILLS=100 tests/system/fleet-kills.sh; PH_SEED=N for other moments.
# beds: native
# deadline: 90
# image: bare
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

: "${PH_AGENTS:=40}" "${PH_KILLS:=5}" "${PH_SEED:=$RANDOM}"

exec "$PH_ROOT/build/$PH_PRESET/tests/fleet/fleet-kills" "$PH_AGENTS" "$PH_KILLS" "$PH_SEED" "$PH_BIN"
