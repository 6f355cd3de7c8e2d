#include "planning/view.h"

namespace bitwright {

View::View(int source, const std::vector<int>& shape) : source_(source), starts_(shape.size(), 0) {
  for (int d = 0; d < static_cast<int>(shape.size()); ++d) {
    axes_.emplace_back();
    if (shape[d] > 1) axes_.back().push_back({shape[d], d, 1});
  }
}

std::vector<View::Loop> View::loops() const {
  std::vector<Loop> all;
  for (const Axis& axis : axes_) all.insert(all.end(), axis.begin(), axis.end());
  return all;
}

std::optional<View> View::permuted(const std::vector<int>& dims) const {
  View view = *this;
  for (size_t d = 0; d < dims.size(); ++d) view.axes_[d] = axes_[dims[d]];
  return view;
}

std::optional<View> View::sliced(int axis, int64_t start, int64_t step, int64_t count) const {
  View view = *this;
  return view.slice(view.axes_[axis], start, step, count) ? std::optional(view) : std::nullopt;
}

std::optional<View> View::reshaped(const std::vector<int>& shape) const {
  View view = *this;
  return view.reshape(shape) ? std::optional(view) : std::nullopt;
}

// A slice of several loops takes whole turns of the outermost loop, or stays within one of its turns.
bool View::slice(Axis& axis, int64_t start, int64_t step, int64_t count) {
  if (axis.empty()) return true;
  int64_t inner = 1;
  for (size_t i = 1; i < axis.size(); ++i) inner *= axis[i].extent;
  Loop& outer = axis.front();
  int64_t last = start + (count - 1) * step;
  bool whole = inner == 1 || (step == 1 && start % inner == 0 && count % inner == 0);
  if (!whole && start / inner != last / inner) return false;
  starts_[outer.axis] += start / inner * outer.stride;
  if (whole && count > inner) {
    outer = {count / inner, outer.axis, inner == 1 ? outer.stride * step : outer.stride};
    return true;
  }
  axis.erase(axis.begin());
  return whole || slice(axis, start % inner, step, count);
}

bool View::reshape(const std::vector<int>& shape) {
  std::vector<Loop> left = loops();
  std::vector<Axis> axes(shape.size());
  for (size_t d = shape.size(); d-- > 0;)
    for (int64_t wanted = shape[d]; wanted > 1;) {
      Loop& last = left.back();
      if (wanted % last.extent == 0) {
        wanted /= last.extent;
        axes[d].insert(axes[d].begin(), last);
        left.pop_back();
      } else if (last.extent % wanted == 0) {
        axes[d].insert(axes[d].begin(), {wanted, last.axis, last.stride});
        last = {last.extent / wanted, last.axis, last.stride * wanted};
        wanted = 1;
      } else {
        return false;
      }
    }
  axes_ = axes;
  return true;
}

}  // namespace bitwright
