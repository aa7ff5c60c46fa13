// SPDX-License-Identifier: BSD-3-Clause
// kern_return_t values as std::error_code; part of <norma/norma.hpp>.
#ifndef NORMA_ERROR_HPP
#define NORMA_ERROR_HPP

#include <chrono>
#include <limits>
#include <string>
#include <system_error>
#include <type_traits>

#include <norma/norma.h>

namespace norma {

/// The return values of Mach, for comparing with a std::error_code: `if (error == norma::errc::node_down)`.
enum class errc : kern_return_t {
    success = KERN_SUCCESS,
    invalid_address = KERN_INVALID_ADDRESS,
    protection_failure = KERN_PROTECTION_FAILURE,
    no_space = KERN_NO_SPACE,
    invalid_argument = KERN_INVALID_ARGUMENT,
    failure = KERN_FAILURE,
    resource_shortage = KERN_RESOURCE_SHORTAGE,
    memory_failure = KERN_MEMORY_FAILURE,
    memory_error = KERN_MEMORY_ERROR,
    aborted = KERN_ABORTED,
    invalid_task = KERN_INVALID_TASK,
    invalid_value = KERN_INVALID_VALUE,
    invalid_capability = KERN_INVALID_CAPABILITY,
    invalid_host = KERN_INVALID_HOST,
    terminated = KERN_TERMINATED,
    not_supported = KERN_NOT_SUPPORTED,
    node_down = KERN_NODE_DOWN,
    timed_out = KERN_OPERATION_TIMED_OUT,
};

namespace detail {

class kern_category final : public std::error_category {
  public:
    const char *name() const noexcept override { return "norma"; }
    std::string message(int code) const override { return norma_strerror(code); }
    std::error_condition default_error_condition(int code) const noexcept override {
        switch (code) {
        case KERN_INVALID_ADDRESS:
            return std::errc::bad_address;
        case KERN_PROTECTION_FAILURE:
            return std::errc::permission_denied;
        case KERN_NO_SPACE:
        case KERN_RESOURCE_SHORTAGE:
            return std::errc::not_enough_memory;
        case KERN_INVALID_ARGUMENT:
        case KERN_INVALID_VALUE:
            return std::errc::invalid_argument;
        case KERN_INVALID_TASK:
            return std::errc::no_such_process;
        case KERN_NOT_SUPPORTED:
            return std::errc::not_supported;
        case KERN_NODE_DOWN:
            return std::errc::host_unreachable;
        case KERN_OPERATION_TIMED_OUT:
            return std::errc::timed_out;
        default:
            return {code, *this};
        }
    }
};

} // namespace detail

inline const std::error_category &category() noexcept {
    static const detail::kern_category instance;
    return instance;
}

inline std::error_code make_error_code(kern_return_t code) noexcept {
    return {code, category()};
}
inline std::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), category()};
}

} // namespace norma

template <> struct std::is_error_code_enum<norma::errc> : std::true_type {};

namespace norma {

namespace detail {

inline void check(const std::error_code &error, const char *what) {
    if (error) {
        throw std::system_error(error, what);
    }
}

inline void check_node(const std::error_code &error, const char *what, int node) {
    if (error) {
        throw std::system_error(error, std::string(what) + " node " + std::to_string(node));
    }
}

/// Rounds up, so that a wait never ends early; durations beyond the range of int become the longest one.
template <class Rep, class Period> int to_milliseconds(std::chrono::duration<Rep, Period> duration) noexcept {
    using limits = std::numeric_limits<int>;
    if (duration <= duration.zero()) {
        return 0;
    }
    if (duration >= std::chrono::milliseconds(limits::max())) {
        return limits::max();
    }
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

} // namespace detail

} // namespace norma

#endif
