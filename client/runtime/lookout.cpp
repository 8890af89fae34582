#include "client/runtime/lookout.hpp"

#include <algorithm>

namespace nbdring {

void Lookout::slept(Duration duration) noexcept {
  if (duration >= pause) sleeps_asked_ = sleeps_at_first;
  short_sleeps_ = duration <= short_sleep ? short_sleeps_ + 1 : 0;
  if (short_sleeps_ < sleeps_asked_) return;
  looks_ = true;
  credit_ = credit_at_first;
  short_sleeps_ = 0;
}

void Lookout::found(Duration after) noexcept {
  if (after > early) return pay(price_of_a_late_find);
  credit_ = std::min(credit_ + 1, credit_at_most);
  if (credit_ == credit_at_most) sleeps_asked_ = sleeps_at_first;
}

void Lookout::missed() noexcept { pay(price_of_a_miss); }

void Lookout::pay(int price) noexcept {
  credit_ -= price;
  if (credit_ > 0) return;
  looks_ = false;
  sleeps_asked_ = std::min(sleeps_asked_ * 4, sleeps_at_most);
}

}  // namespace nbdring
