// SPDX-License-Identifier: BSD-3-Clause
// What address() gives and connect() takes: the network's own address in an envelope. UCX believes every byte of an
// address, so one that was cut short or changed on the way must be found out before the network sees it.
//
//    0            4            8                 16
//   +------------+------------+-----------------+--------------------+
//   | magic      | address    | FNV-1a of kind  | kind, '\0',        |
//   |            | bytes      | and address     | network's address  |
//   +------------+------------+-----------------+--------------------+
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace norma::rpc {

std::vector<std::byte> seal_address(std::string_view kind, std::span<const std::byte> inner);
// The address inside. On failure it is empty, and `why` says what is wrong.
std::span<const std::byte> open_address(std::string_view kind, std::span<const std::byte> sealed, std::string &why);

} // namespace norma::rpc
