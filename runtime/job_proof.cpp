// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/job_proof.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include "rpc/wire.hpp"

namespace norma::rt {
namespace {

// Every part with its length, and the role first: no two different conversations give the same bytes.
launch::Number code(std::string_view key, const rpc::Writer &said) {
    launch::Number result{};
    const auto *const bytes = reinterpret_cast<const unsigned char *>(said.bytes().data());
    auto *const out = reinterpret_cast<unsigned char *>(result.data());
    unsigned size = 0;
    if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, said.bytes().size(), out, &size) ==
            nullptr ||
        size != result.size()) {
        throw std::runtime_error("libcrypto has no HMAC with SHA-256");
    }
    return result;
}

rpc::Writer conversation(std::string_view role, const launch::Join &join, const launch::Challenge &challenge) {
    rpc::Writer said;
    said.put_string(role).put_bytes(launch::encode(join)).put_bytes(launch::encode(challenge));
    return said;
}

} // namespace

launch::Number fresh_number() {
    launch::Number number{};
    if (::getentropy(number.data(), number.size()) != 0) {
        throw std::system_error(errno, std::generic_category(), "getentropy");
    }
    return number;
}

launch::Number proof_of_joiner(std::string_view key, const launch::Join &join, const launch::Challenge &challenge) {
    return code(key, conversation("joiner", join, challenge));
}

launch::Number proof_of_launcher(std::string_view key, const launch::Join &join, const launch::Challenge &challenge,
                                 const launch::Welcome &welcome) {
    auto bare = welcome;
    bare.proof = {};
    auto said = conversation("launcher", join, challenge);
    said.put_bytes(launch::encode(bare));
    return code(key, said);
}

bool is_same(const launch::Number &one, const launch::Number &other) {
    return CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

} // namespace norma::rt
