// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/right.hpp"

namespace norma::rt {

void put_key(rpc::Writer &writer, const Key &key) {
    writer.put(key.high).put(key.low);
}

Key get_key(rpc::Reader &reader) {
    Key key;
    key.high = reader.get<std::uint64_t>();
    key.low = reader.get<std::uint64_t>();
    return key;
}

void put_right(rpc::Writer &writer, const Right &right) {
    writer.put(right.kind).put(right.task).put(right.thread);
    put_key(writer, right.key);
}

bool get_right(rpc::Reader &reader, Right &right) {
    right.kind = reader.get<Right::Kind>();
    right.task = reader.get<TaskId>();
    right.thread = reader.get<std::uint64_t>();
    right.key = get_key(reader);
    return reader.ok() && right.kind <= Right::kLastKind && node_of(right.task) < dsm::kMaxNodes;
}

void put_carried(rpc::Writer &writer, const Carried &carried) {
    put_right(writer, carried.right);
    put_key(writer, carried.receive);
}

bool get_carried(rpc::Reader &reader, Carried &carried) {
    const bool good = get_right(reader, carried.right);
    carried.receive = get_key(reader);
    return good && (!carried.receive.any() || carried.right.kind == Right::Kind::port);
}

} // namespace norma::rt
