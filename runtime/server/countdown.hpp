// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

namespace norma::rt {

// Calls `then` when so many parts are done.
struct Countdown {
    std::size_t open;
    std::function<void()> then;
    void one() {
        if (--open == 0) {
            then();
        }
    }
};

inline std::shared_ptr<Countdown> countdown(std::size_t parts, std::function<void()> then) {
    return std::make_shared<Countdown>(Countdown{.open = parts, .then = std::move(then)});
}

} // namespace norma::rt
