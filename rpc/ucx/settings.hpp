// SPDX-License-Identifier: BSD-3-Clause
// Which UCX settings norma chooses for each kind of transport. A setting that the user has in the environment (UCX_...)
// is left alone. The reasons and the numbers are in rpc/README.md.
#pragma once

#include <string>
#include <string_view>
#include <ucp/api/ucp.h>
#include <vector>

namespace norma::rpc::ucx {

bool known_kind(std::string_view kind);

// Puts norma's settings into the environment, which is the one way that reaches every layer of UCX 1.13 (its
// ucp_config_modify() knows the upper layer's settings only), and takes them out again when it goes, so that programs
// started later do not inherit them. It must stay until the worker is made, as transports read their settings then, or
// keep_transport_settings() must have been called.
class ScopedSettings {
  public:
    explicit ScopedSettings(std::string_view kind);
    ~ScopedSettings();
    ScopedSettings(const ScopedSettings &) = delete;
    ScopedSettings &operator=(const ScopedSettings &) = delete;

  private:
    std::vector<std::string> names_;
};

// So that workers of this configuration may be made at any time, also when the environment is the program's again: the
// settings that transports read then, under the names that their own tables give them.
void keep_transport_settings(ucp_config_t &config, std::string_view kind);

// Makes the UCX library silent and takes its crash handlers out of the process (both are global to the process).
void quieten_library();

} // namespace norma::rpc::ucx
