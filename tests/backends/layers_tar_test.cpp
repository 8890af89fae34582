#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "tests/backends/layers_stack.hpp"

namespace nbdring {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t mib = 1024 * 1024;

/// An archive that grows.
class Archive {
 public:
  struct Header {
    std::string name;
    std::uint64_t size = 0;
    char type = '0';
    std::string size_field = "";  // instead of the size in octal digits
  };

  Archive& add(const Header& header, std::span<const std::byte> contents = {}) {
    std::array<char, 512> record{};
    std::snprintf(record.data(), 100, "%s", header.name.c_str());
    std::snprintf(record.data() + 124, 12, "%011llo", static_cast<unsigned long long>(header.size));
    if (!header.size_field.empty()) std::memcpy(record.data() + 124, header.size_field.data(), 12);
    record[156] = header.type;
    std::memcpy(record.data() + 257, "ustar\00000", 8);
    std::memset(record.data() + 148, ' ', 8);
    unsigned sum = 0;
    for (const char c : record) sum += static_cast<unsigned char>(c);
    std::snprintf(record.data() + 148, 8, "%06o", sum);
    append(std::as_bytes(std::span(record)));
    append(contents);
    bytes_.resize((bytes_.size() + 511) / 512 * 512);
    return *this;
  }
  Archive& add_file(const std::string& name, std::uint64_t number, std::size_t size) {
    return add({name, size}, pattern(number, 0, size));
  }
  Archive& add_text(const std::string& name, char type, const std::string& text) {
    return add({name, text.size(), type}, std::as_bytes(std::span(text)));
  }
  std::vector<std::byte>& bytes() { return bytes_; }

  std::unique_ptr<Backend> open(const std::string& member, CapturedLog& log) const {
    auto memory = std::make_unique<MemoryBackend>(bytes_.size() + 1024);
    std::copy(bytes_.begin(), bytes_.end(), memory->bytes().begin());
    return over(std::move(memory), {"tar=" + member}, log.log());
  }
  std::string told(const std::string& member) const {
    CapturedLog log;
    try {
      return "size " + std::to_string(open(member, log)->about().size);
    } catch (const Failure& failure) {
      return failure.what();
    }
  }

 private:
  void append(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> bytes_;
};

void expect_contents(Backend& backend, std::uint64_t number, std::size_t size) {
  ASSERT_EQ(backend.about().size, size);
  BackendUser user(backend);
  std::vector<std::byte> buffer(size);
  ASSERT_EQ(user.read(0, buffer), 0);
  EXPECT_TRUE(matches_pattern(buffer, number, 0));
}

TEST(TarLayer, ShowsAMemberThatCanBeWrittenTo) {
  Archive archive;
  archive.add({"folder/", 0, '5'}).add_file("folder/a", 2, 1000).add_file("./folder/b", 3, 512);
  CapturedLog log;
  const auto a = archive.open("folder/a", log);
  expect_contents(*a, 2, 1000);
  expect_contents(*archive.open("folder/b", log), 3, 512);
  expect_contents(*archive.open("./folder/b", log), 3, 512);
  EXPECT_FALSE(a->about().is_read_only());
  BackendUser user(*a);
  EXPECT_EQ(user.write(999, pattern(4, 999, 1)), 0);
}

TEST(TarLayer, NamesWhatThereIsWhereTheMemberIsNot) {
  Archive archive;
  archive.add_file("one", 1, 10).add_file("two", 1, 10);
  EXPECT_EQ(archive.told("three"),
            "--layer tar=three: there is no such member: the archive has 'one', 'two'");
  for (unsigned i = 0; i < 20; ++i) archive.add_file("more" + std::to_string(i), 1, 1);
  EXPECT_THAT(archive.told("three"), HasSubstr("'more5' and more"));
}

TEST(TarLayer, ReadsLongNamesAndPaxHeaders) {
  const std::string long_name(150, 'n');
  Archive archive;
  archive.add_text("././@LongLink", 'L', long_name + '\0').add_file("nnn", 2, 100);
  archive.add_text("pax", 'x', "16 path=renamed\n").add_file("short", 3, 100);
  archive.add_text("global", 'g', "10 size=999\n");
  archive.add_text("pax", 'x', "12 size=600\n").add({"sized", 0}, pattern(4, 0, 600));
  archive.add_file("last", 5, 100);
  CapturedLog log;
  expect_contents(*archive.open(long_name, log), 2, 100);
  EXPECT_THAT(archive.told("short"), HasSubstr("no such member"));
  expect_contents(*archive.open("sized", log), 4, 600);
  expect_contents(*archive.open("last", log), 5, 100);
}

TEST(TarLayer, ReadsLargeNumbers) {
  Archive archive;
  const std::string binary("\x80\0\0\0\0\0\0\0\0\0\x02\x58", 12);
  archive.add({"binary", 0, '0', binary}, pattern(2, 0, 600)).add_file("last", 3, 10);
  CapturedLog log;
  expect_contents(*archive.open("binary", log), 2, 600);
  expect_contents(*archive.open("last", log), 3, 10);
  Archive huge;
  huge.add({"huge", 0, '0', std::string("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)});
  EXPECT_THAT(huge.told("huge"), HasSubstr("ends within 'huge'"));
  Archive larger;
  larger.add(
      {"larger", 0, '0', std::string("\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)});
  EXPECT_THAT(larger.told("larger"), HasSubstr("no tar archive"));
}

TEST(TarLayer, RefusesWhatCannotBeServed) {
  Archive archive;
  archive.add({"link", 0, '2'}).add({"empty", 0});
  archive.add_text("pax", 'x', "22 GNU.sparse.major=1\n").add_file("holes", 1, 10);
  EXPECT_THAT(archive.told("link"), HasSubstr("no bytes of its own"));
  EXPECT_THAT(archive.told("empty"), HasSubstr("no bytes of its own"));
  EXPECT_THAT(archive.told("holes"), HasSubstr("unpack it"));
}

TEST(TarLayer, RefusesWhatIsNoArchiveOrADamagedOne) {
  Archive archive;
  archive.add_file("a", 2, 1000).add_file("b", 3, 1000);
  Archive damaged = archive;
  damaged.bytes()[1536 + 3] ^= std::byte{1};
  EXPECT_THAT(damaged.told("b"), HasSubstr("damaged at byte 1536"));
  Archive cut = archive;
  cut.bytes().resize(1536 + 512 - 1024);
  EXPECT_THAT(cut.told("b"), HasSubstr("no such member: the archive has 'a'"));
  LayerStack plain(65536, {});
  EXPECT_THROW(LayerStack(65536, {"tar=x"}), Failure);
  EXPECT_THROW(LayerStack(100, {"tar=x"}), Failure);
  for (const char* pax : {"x", "99 path=a\n", "3 \n", "10 pathab\n", "10 size=x\n", "0 a=b\n"}) {
    Archive broken;
    broken.add_text("pax", 'x', pax).add_file("a", 1, 10);
    EXPECT_THAT(broken.told("a"), HasSubstr("extended header is damaged")) << pax;
  }
  Archive endless;
  endless.add({"././@LongLink", 70'000, 'L'}, std::vector<std::byte>(70'000));
  EXPECT_THAT(endless.told("a"), HasSubstr("longer than 64 KiB"));
}

Archive xva() {
  Archive archive;
  archive.add_file("ova.xml", 9, 700);
  archive.add_file("Ref:12/00000000", 2, mib).add_text("Ref:12/00000000.checksum", '0', "abc");
  archive.add_file("Ref:12/00000002", 3, mib).add_text("Ref:12/00000002.checksum", '0', "abc");
  archive.add({"Ref:12/00000003", 0});
  archive.add_file("Ref:12/00000005", 4, 4096);
  return archive;
}

TEST(TarLayer, AnXvasBlocksAreADisk) {
  CapturedLog log;
  for (const char* name : {"Ref:12", "Ref:12/"}) {
    const auto disk = xva().open(name, log);
    EXPECT_EQ(disk->about().size, 5 * mib + 4096);
    EXPECT_TRUE(disk->about().is_read_only());
    BackendUser user(*disk);
    std::vector<std::byte> buffer(disk->about().size);
    ASSERT_EQ(user.read(0, buffer), 0);
    const auto bytes = std::span(buffer);
    EXPECT_TRUE(matches_pattern(bytes.first(mib), 2, 0));
    EXPECT_TRUE(matches_pattern(bytes.subspan(mib, mib), 0, 0));
    EXPECT_TRUE(matches_pattern(bytes.subspan(2 * mib, mib), 3, 0));
    EXPECT_TRUE(matches_pattern(bytes.subspan(3 * mib, 2 * mib), 0, 0));
    EXPECT_TRUE(matches_pattern(bytes.subspan(5 * mib), 4, 0));
    ASSERT_EQ(user.read(mib - 1, bytes.first(2)), 0);
    EXPECT_EQ(buffer[0], pattern_at(2, mib - 1));
    EXPECT_EQ(buffer[1], std::byte{0});
    EXPECT_EQ(user.write(0, bytes.first(512)), EPERM);
  }
}

TEST(TarLayer, AnXvasGapsAreHoles) {
  CapturedLog log;
  const auto disk = xva().open("Ref:12", log);
  BackendUser user(*disk);
  const auto extents = user.extents(512, 5 * mib);
  const std::pair<std::uint64_t, bool> expected[] = {
      {mib - 512, false}, {mib, true}, {mib, false}, {2 * mib, true}, {512, false}};
  ASSERT_EQ(extents.size(), std::size(expected));
  for (std::size_t i = 0; i < extents.size(); ++i) {
    EXPECT_EQ(extents[i].length, expected[i].first);
    EXPECT_EQ(extents[i].flags, expected[i].second ? 3U : 0U);
  }
  EXPECT_EQ(user.extents(0, 3 * mib, 1).size(), 1U);
}

TEST(TarLayer, AnXvasBlocksAreChecked) {
  EXPECT_EQ(xva().told("Ref:1"),
            "--layer tar=Ref:1: there is no such member: the archive has "
            "'ova.xml', 'Ref:12'");
  EXPECT_THAT(xva().add_file("Ref:12/00000002", 3, mib).told("Ref:12"), HasSubstr("twice"));
  EXPECT_THAT(xva().add_file("Ref:12/00000006", 3, mib).told("Ref:12"),
              HasSubstr("block 5 has 4096 bytes instead of 1 MiB"));
  EXPECT_THAT(xva().add_file("Ref:12/00000007", 3, mib + 1).told("Ref:12"),
              HasSubstr("more than 1 MiB"));
  EXPECT_THAT(xva().told("Ref:12/00000000"), HasSubstr("size 1048576"));
}

}  // namespace
}  // namespace nbdring
