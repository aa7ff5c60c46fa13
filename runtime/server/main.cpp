// SPDX-License-Identifier: BSD-3-Clause
// The node server as a program: `normad --node K --nodes N`, with the launcher's socket as descriptor 3.
#include "runtime/server/main.hpp"

#include "runtime/launch.hpp"
#include "runtime/log.hpp"
#include "runtime/server/node.hpp"

#include <CLI/CLI.hpp>
#include <exception>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

namespace norma::rt {

int node_server_main(int argc, char **argv) {
    unsigned node = 0;
    JobSize size;
    std::optional<unsigned> founders, places;
    CLI::App app{"The server of one node of a norma job. `norma run` starts one per node."};
    app.add_option("--node", node, "index of this node")->required();
    app.add_option("--nodes", size.nodes, "number of nodes of the job, this one included")
        ->required()
        ->check(CLI::Range(1U, dsm::kMaxNodes));
    app.add_option("--founders", founders, "how many it began with; default: all of them");
    app.add_option("--places", places, "how many it may have; default: those it has")
        ->check(CLI::Range(1U, dsm::kMaxNodes));
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    int type = 0;
    socklen_t type_bytes = sizeof type;
    size.founders = founders.value_or(size.nodes);
    size.places = places.value_or(size.nodes);
    if (node >= size.nodes || size.founders == 0 || size.founders > size.nodes || size.places < size.nodes) {
        fmt::print(stderr, "norma node: node {} of {}, {} at first and {} at most: there is no such node\n", node,
                   size.nodes, size.founders, size.places);
        return 2;
    }
    if (getsockopt(kLaunchFd, SOL_SOCKET, SO_TYPE, &type, &type_bytes) != 0 || type != SOCK_SEQPACKET) {
        fmt::print(stderr, "norma node: descriptor {} is not a launcher's socket; start jobs with `norma run`\n",
                   kLaunchFd);
        return 2;
    }
    try {
        auto config = load_config(environ);
        set_log_level(config.log);
        set_log_name(fmt::format("node {}", node));
        return Node(static_cast<dsm::NodeId>(node), size, launch::kOnlyLife, std::move(config)).run();
    } catch (const std::exception &error) {
        const auto record = launch::encode(launch::Fatal{.why = error.what()});
        send(kLaunchFd, record.data(), record.size(), MSG_NOSIGNAL);
        return 1;
    }
}

} // namespace norma::rt
