#!/usr/bin/env bash
# The browser tests open the report in Debian's Chromium. Where it is absent and this user may install it, install it;
# where not, the tests say so and are skipped, except in CI, where they fail.
set -u
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing Debian's chromium for the browser tests"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null 2>&1 \
    || echo "chromium could not be installed: the browser tests will say that they cannot run"
else
  echo "chromium is not here and cannot be installed without root: the browser tests will say that they cannot run"
fi
exit 0
