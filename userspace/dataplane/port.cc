#include "dataplane/port.h"

namespace sluice::dataplane {

Result<size_t> Port::erase_flows(const PickFlow& pick) {
  constexpr uint32_t kMost = 4096;
  size_t erased = 0;
  for (FlowCursor cursor; !cursor.is_at_end;) erased += SLUICE_TRY(erase_some_flows(cursor, kMost, pick));
  return erased;
}

}  // namespace sluice::dataplane
