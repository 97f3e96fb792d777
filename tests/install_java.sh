#!/usr/bin/env bash
# The tests of the engine spark run it on Debian's Java 17. Where there is none and this user may install it, install it;
# where not, the tests say so and are skipped, except in CI, where they fail.
set -u
command -v java >/dev/null 2>&1 && exit 0
ls /usr/lib/jvm/*/bin/java >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing Debian's Java 17 for the tests of the engine spark"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openjdk-17-jre-headless; } >/dev/null 2>&1 \
    || echo "Java 17 could not be installed: the tests of the engine spark will say that they cannot run"
else
  echo "Java is not here and cannot be installed without root: the tests of the engine spark will say that they cannot run"
fi
exit 0
