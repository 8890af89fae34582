// The member, or the disk of an XVA, that is asked for. See tar_archive.hpp.

#include <algorithm>
#include <charconv>

#include "backends/layers/tar_archive.hpp"

namespace nbdring {
namespace {

constexpr std::size_t named_max = 8;
constexpr std::size_t number_digits = 8;

/// "FOLDER/00000012": none for anything else, as the blocks' checksums.
std::optional<std::uint32_t> block_number(std::string_view name, std::string_view folder) {
  if (!name.starts_with(folder) || name.size() != folder.size() + 1 + number_digits ||
      name[folder.size()] != '/') {
    return std::nullopt;
  }
  const std::string_view digits = name.substr(folder.size() + 1);
  std::uint32_t number = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || stop != digits.data() + digits.size()) return std::nullopt;
  return number;
}

// Of an XVA's thousands of blocks only the folder says something.
void note_name(std::vector<std::string>& names, const std::string& name) {
  const std::size_t slash = name.starts_with("Ref:") ? name.find('/') : std::string::npos;
  const std::string shown = name.substr(0, std::min<std::size_t>(slash, 100));
  const bool is_known = !names.empty() && names.back() == shown;
  if (!is_known && names.size() <= named_max) names.push_back(shown);
}

std::string found_text(const std::vector<std::string>& names) {
  if (names.empty()) return "the archive is empty";
  std::string text = "the archive has ";
  for (std::size_t i = 0; i < std::min(names.size(), named_max); ++i) {
    text += (i == 0 ? "'" : ", '") + names[i] + "'";
  }
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return names.size() > named_max ? text + " and more" : text;
}

void check_blocks(std::vector<XvaBlock>& blocks, const LayerArgument& argument) {
  std::sort(blocks.begin(), blocks.end(),
            [](const XvaBlock& a, const XvaBlock& b) { return a.number < b.number; });
  for (std::size_t i = 0; i + 1 < blocks.size(); ++i) {
    if (blocks[i].number == blocks[i + 1].number) {
      argument.fail(FailureKind::failed,
                    "block " + std::to_string(blocks[i].number) + " is in the archive twice");
    }
    if (blocks[i].size != xva_block_bytes) {
      argument.fail(FailureKind::failed, "block " + std::to_string(blocks[i].number) + " has " +
                                             std::to_string(blocks[i].size) +
                                             " bytes instead of 1 MiB");
    }
  }
}

}  // namespace

TarFound find_in_tar(LayerProbe& archive, const std::string& name) {
  const LayerArgument& argument = archive.argument();
  TarReader reader(archive);
  TarFound found;
  std::vector<std::string> names;
  for (auto member = reader.next(); member; member = reader.next()) {
    note_name(names, member->name);
    const auto number = block_number(member->name, name);
    if (number && member->is_file()) {
      if (member->size > xva_block_bytes) {
        argument.fail(FailureKind::failed,
                      "block " + std::to_string(*number) + " has more than 1 MiB");
      }
      // Writers put empty ones in between, to keep a connection alive.
      if (member->size == 0) continue;
      found.blocks.push_back({*number, static_cast<std::uint32_t>(member->size), member->offset});
    }
    if (member->name != name || member->type == '5') continue;
    if (!member->is_file() || member->is_sparse || member->size == 0) {
      argument.fail(FailureKind::usage, member->is_sparse
                                            ? "the member is stored with holes, which "
                                              "cannot be served; unpack it"
                                            : "the member has no bytes of its own");
    }
    found.member = *member;  // a later one of the same name replaces an earlier, as tar does
  }
  if (!found.member && found.blocks.empty()) {
    argument.fail(FailureKind::usage, "there is no such member: " + found_text(names));
  }
  check_blocks(found.blocks, argument);
  return found;
}

}  // namespace nbdring
