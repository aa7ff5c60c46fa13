// SPDX-License-Identifier: BSD-3-Clause
// The sub-commands of `norma`. Each gets its own arguments (argv[0] is its name), prints its own help, and returns the
// exit status.
#pragma once

namespace norma::rt {

int run_command(int argc, char **argv);
int node_command(int argc, char **argv);
int perf_command(int argc, char **argv);
int info_command(int argc, char **argv);
int ps_command(int argc, char **argv);
int stat_command(int argc, char **argv);
int join_command(int argc, char **argv);
int migrate_command(int argc, char **argv);
int drain_command(int argc, char **argv);
int checkpoint_command(int argc, char **argv);
int restart_command(int argc, char **argv);
int top_command(int argc, char **argv);

} // namespace norma::rt
