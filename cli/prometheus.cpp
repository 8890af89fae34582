// Prometheus's text format: https://prometheus.io/docs/instrumenting/exposition_formats/ (version
// 0.0.4).

#include <cstdio>
#include <functional>

#include "cli/report.hpp"

namespace nbdring {
namespace {

std::string escaped(const std::string& value) {
  std::string text;
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text;
}

class Exposition {
 public:
  explicit Exposition(const DeviceRecord& record)
      : labels_("device=\"" + device_name(record.index) + "\"") {}

  void metric(const std::string& name, const char* type, const char* help) {
    name_ = "nbdring_" + name;
    text_ += "# HELP " + name_ + " " + help + "\n# TYPE " + name_ + " " + type + "\n";
  }
  void sample(const std::string& more_labels, const std::string& value) {
    text_ += name_ + "{" + labels_ + (more_labels.empty() ? "" : "," + more_labels) + "} " + value +
             "\n";
  }
  std::string take() { return std::move(text_); }

 private:
  std::string labels_;
  std::string name_;
  std::string text_;
};

std::string lane_label(std::size_t lane) { return "lane=\"" + std::to_string(lane) + "\""; }

std::string command_label(std::size_t command) {
  return std::string("command=\"") + name_of(driver_commands[command]) + "\"";
}

using CommandValue = std::function<std::uint64_t(const CommandStatus&)>;

void per_command(Exposition& out, const DeviceStatus& status, const CommandValue& value) {
  for (std::size_t lane = 0; lane < status.lanes.size(); ++lane) {
    for (std::size_t command = 0; command < driver_commands.size(); ++command) {
      out.sample(lane_label(lane) + "," + command_label(command),
                 std::to_string(value(status.lanes[lane].commands[command])));
    }
  }
}

void latencies(Exposition& out, const DeviceStatus& status) {
  const auto seconds = [](std::uint64_t nanoseconds) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9f", static_cast<double>(nanoseconds) / 1e9);
    return std::string(text);
  };
  for (std::size_t command = 0; command < driver_commands.size(); ++command) {
    const Latency& latency = status.total.commands[command].latency;
    const std::string label = command_label(command);
    out.sample(label + ",quantile=\"0.5\"", seconds(latency.p50));
    out.sample(label + ",quantile=\"0.99\"", seconds(latency.p99));
    out.sample(label + ",quantile=\"0.999\"", seconds(latency.p999));
  }
}

std::string seconds_of(std::uint64_t milliseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", static_cast<double>(milliseconds) / 1e3);
  return text;
}

void stall_metrics(Exposition& out, const DeviceStatus& status) {
  const auto one = [&out](const char* name, const char* type, const char* help,
                          const std::string& value) {
    out.metric(name, type, help);
    out.sample("", value);
  };
  const StallStatus& stall = status.last_stall;
  one("stalls_total", "counter", "Times in which nobody answered the driver.",
      std::to_string(stall.count));
  one("last_stall_seconds", "gauge", "Length of the last of them, for new requests.",
      seconds_of(stall.milliseconds));
  one("last_stall_in_flight_seconds", "gauge", "The same, for requests that were on their way.",
      seconds_of(stall.in_flight_milliseconds));
  one("engine_restarts_total", "counter", "Engines that were started after the death of one.",
      std::to_string(status.engine_restarts));
  one("lost_connections_total", "counter", "Connections that the driver gave up, or that broke.",
      std::to_string(status.lost_connections));
  one("refilled_connections_total", "counter", "Lost connections that were replaced.",
      std::to_string(status.refilled));
  one("fenced_changes_total", "counter",
      "Changes that waited for an older one of a lost connection to end.",
      std::to_string(status.fenced));
}

void remote_metrics(Exposition& out, const BackendHealth& remote) {
  out.metric("remote_serving", "gauge", "1 while the remote server is there.");
  out.sample("endpoint=\"" + escaped(remote.endpoint) + "\"",
             remote.state == "serving" ? "1" : "0");
  const auto one = [&out](const char* name, const char* type, const char* help,
                          std::uint64_t value) {
    out.metric(name, type, help);
    out.sample("", std::to_string(value));
  };
  one("remote_reconnects_total", "counter", "How often the remote was lost and came back.",
      remote.reconnects);
  one("remote_replayed_writes_total", "counter", "Acknowledged writes that were written again.",
      remote.replayed_writes);
  one("remote_replayed_bytes_total", "counter", "Bytes of these.", remote.replayed_bytes);
  one("remote_volatile_bytes", "gauge",
      "Bytes that are acknowledged and not known to be on the remote's stable storage.",
      remote.volatile_bytes);
  one("remote_lost_writes", "gauge", "Acknowledged writes that were given up.", remote.lost_writes);
}

// What the kernel counts, where requests go through no lane of ours.
void kernel_metrics(Exposition& out, const DeviceStatus& status) {
  const std::string all = "lane=\"all\"";
  out.metric("in_flight_requests", "gauge", "Requests that the driver has and has not answered.");
  out.sample(all, std::to_string(status.total.in_flight));
  const auto each = [&](const CommandValue& value) {
    for (std::size_t command = 0; command < driver_commands.size(); ++command) {
      out.sample(all + "," + command_label(command),
                 std::to_string(value(status.total.commands[command])));
    }
  };
  out.metric("requests_total", "counter", "Requests answered, errors included.");
  each([](const CommandStatus& command) { return command.requests; });
  out.metric("bytes_total", "counter", "Bytes of the ranges that were asked for.");
  each([](const CommandStatus& command) { return command.bytes; });
}

void lane_metrics(Exposition& out, const DeviceStatus& status) {
  out.metric("in_flight_requests", "gauge", "Requests received and not yet answered.");
  for (std::size_t lane = 0; lane < status.lanes.size(); ++lane) {
    out.sample(lane_label(lane), std::to_string(status.lanes[lane].in_flight));
  }
  out.metric("refused_requests_total", "counter",
             "Requests answered with an error before they reached the backend.");
  for (std::size_t lane = 0; lane < status.lanes.size(); ++lane) {
    out.sample(lane_label(lane), std::to_string(status.lanes[lane].refused));
  }
  out.metric("requests_total", "counter", "Requests answered, errors included.");
  per_command(out, status, [](const CommandStatus& command) { return command.requests; });
  out.metric("bytes_total", "counter", "Bytes of the ranges that were asked for.");
  per_command(out, status, [](const CommandStatus& command) { return command.bytes; });
  out.metric("errors_total", "counter", "Requests answered with an error.");
  per_command(out, status, [](const CommandStatus& command) { return command.errors; });
  out.metric("latency_seconds", "gauge",
             "Percentiles since the device was attached, from arrival to the reply's last byte.");
  latencies(out, status);
}

}  // namespace

std::string status_prometheus(const DeviceStatus& status) {
  Exposition out(status.record);
  out.metric("device_info", "gauge", "What is attached; always 1.");
  out.sample("id=\"" + escaped(status.record.id) + "\",name=\"" + escaped(status.record.name) +
                 "\",backend=\"" + escaped(status.record.backend) + "\"",
             "1");
  out.metric("size_bytes", "gauge", "Size of the device.");
  out.sample("", std::to_string(status.record.size));
  out.metric("uptime_seconds", "gauge", "Time since the device was attached.");
  out.sample("", std::to_string(status.uptime));
  out.metric("lane_serving", "gauge", "1 while the lane's connection to the driver is up.");
  for (std::size_t lane = 0; lane < status.lanes.size(); ++lane) {
    out.sample(lane_label(lane), status.lanes[lane].state == "serving" ? "1" : "0");
  }
  status.record.kernel_path ? kernel_metrics(out, status) : lane_metrics(out, status);
  stall_metrics(out, status);
  if (!status.remote.state.empty()) remote_metrics(out, status.remote);
  return out.take();
}

}  // namespace nbdring
