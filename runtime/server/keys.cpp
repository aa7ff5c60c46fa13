// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/keys.hpp"

#include <cerrno>
#include <sys/random.h>
#include <system_error>

namespace norma::rt {

Key draw_key() {
    Key key;
    do {
        ssize_t size = 0;
        do {
            size = getrandom(&key, sizeof key, 0);
        } while (size < 0 && errno == EINTR);
        if (size != sizeof key) {
            throw std::system_error(errno, std::generic_category(), "getrandom");
        }
    } while (!key.any());
    return key;
}

} // namespace norma::rt
