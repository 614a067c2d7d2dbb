// Tests of the routes of jobs through the server.
#include "serve/test_server.h"

namespace gantry {
namespace {

class Jobs : public ApiTest {
 protected:
  static constexpr const char* kId = "01jaaaaaaaaaaaaaaaaa";
  void add(JobState state) {
    Job job;
    job.id = kId;
    job.spec.kind = "generate";
    job.state = state;
    foreman_.job_table[kId] = job;
  }
  std::string path(const std::string& tail = "") { return std::string("/v1/jobs/") + kId + tail; }
};

TEST_F(Jobs, SubmitAnswers202WithTheId) {
  start();
  const auto response = post_local("/v1/jobs", {{"kind", "transcribe"},
                                                {"params", {{"model", "ears"}}},
                                                {"files", {"/a.wav"}},
                                                {"priority", 3},
                                                {"idempotency_key", "k"}});
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(json::parse(response.body)["id"], kId);
  EXPECT_EQ(response.header("Location"), path());
  EXPECT_EQ(foreman_.submitted.kind, "transcribe");
  EXPECT_EQ(foreman_.submitted.params, "{\"model\":\"ears\"}");
  EXPECT_EQ(foreman_.submitted.files, std::vector<std::string>{"/a.wav"});
  EXPECT_EQ(foreman_.submitted.priority, 3);
  EXPECT_EQ(foreman_.submitted.idempotency_key, "k");
}

TEST_F(Jobs, SubmitSaysWhenItMayRun) {
  start();
  const json body = {{"kind", "generate"},       {"not_before", "1970-01-01T00:00:01Z"},
                     {"depends_on", {kId}},      {"deadline", "1970-01-01T00:00:02Z"},
                     {"attempts_max", 1000}};
  EXPECT_EQ(post("/v1/jobs", body).status, 202);
  EXPECT_EQ(foreman_.submitted.not_before, WallTime(Millis(1000)));
  EXPECT_EQ(foreman_.submitted.deadline, WallTime(Millis(2000)));
  EXPECT_EQ(foreman_.submitted.depends_on, std::vector<std::string>{kId});
  EXPECT_EQ(foreman_.submitted.attempts_max, 1000U);
}

TEST_F(Jobs, PauseResumeRetry) {
  add(JobState::kQueued);
  start();
  const auto state_after = [&](const char* word) {
    return json::parse(post(path(word), json::object()).body)["state"];
  };
  EXPECT_EQ(state_after("/pause"), "paused");
  EXPECT_EQ(post(path("/pause"), json::object()).status, 409);
  EXPECT_EQ(state_after("/resume"), "queued");
  EXPECT_EQ(post(path("/retry"), json::object()).status, 409);
  add(JobState::kFailed);
  EXPECT_EQ(json::parse(get("/v1/jobs?state=failed").body)["data"].size(), 1u);
  EXPECT_EQ(json::parse(get("/v1/jobs?state=done").body)["data"].size(), 0u);
  EXPECT_EQ(error_of(get("/v1/jobs?state=lost")), "400 invalid_request_error usage state");
  EXPECT_EQ(error_of(get("/v1/jobs?before=x")), "400 invalid_request_error usage before");
  EXPECT_EQ(error_of(get("/v1/jobs?part_of=x")), "400 invalid_request_error usage part_of");
  EXPECT_EQ(get("/v1/jobs?part_of=01jzzzzzzzzzzzzzzzzz").status, 404);
  EXPECT_EQ(json::parse(get("/v1/jobs?part_of=" + std::string(kId)).body)["data"].size(), 0u);
  EXPECT_EQ(state_after("/retry"), "queued");
}

TEST_F(Jobs, BackupsAreTheOwnersAlone) {
  start();
  EXPECT_EQ(post("/v1/backup", {{"dir", "/copy"}}).status, 403);
  EXPECT_EQ(error_of(post_local("/v1/backup", {{"dir", "copy"}})),
            "400 invalid_request_error usage dir");
  EXPECT_EQ(post_local("/v1/backup", {{"dir", "/copy"}}).status, 200);
  EXPECT_EQ(foreman_.backed_up, "/copy");
}

TEST_F(Jobs, FilesMayBeKept) {
  start();
  json body = {{"kind", "transcribe"}, {"files", {"/a.wav"}}, {"keep_files", true}};
  EXPECT_EQ(post_local("/v1/jobs", body).status, 202);
  EXPECT_TRUE(foreman_.submitted.keep);
  body["keep_files"] = 1;
  EXPECT_EQ(error_of(post_local("/v1/jobs", body)),
            "400 invalid_request_error usage keep_files");
  add(JobState::kQueued);
  foreman_.job_table[kId].spec.files = {"/a.wav", "/b.wav"};
  foreman_.job_table[kId].input_sha256 = {"abc", ""};
  const json inputs = json::parse(get(path()).body)["inputs"];
  EXPECT_EQ(inputs[0], (json{{"file", "/a.wav"}, {"kept_sha256", "abc"}}));
  EXPECT_EQ(inputs[1]["kept_sha256"], nullptr);
}

TEST_F(Jobs, WhereAndWhatToDoOnShortage) {
  start();
  json body = {{"kind", "generate"}, {"device_hint", "gpu0"}, {"on_shortage", {"wait", "cpu"}}};
  EXPECT_EQ(post("/v1/jobs", body).status, 202);
  EXPECT_EQ(foreman_.submitted.device, "gpu0");
  EXPECT_EQ(foreman_.submitted.shortage, (std::vector<std::string>{"wait", "cpu"}));
  for (const json& bad : {json("wait"), json({1}), json::object()}) {
    body["on_shortage"] = bad;
    EXPECT_EQ(error_of(post("/v1/jobs", body)), "400 invalid_request_error usage on_shortage");
  }
  add(JobState::kQueued);
  foreman_.job_table[kId].spec.shortage = {"refuse"};
  const json shown = json::parse(get(path()).body);
  EXPECT_EQ(shown["device_hint"], nullptr);
  EXPECT_EQ(shown["on_shortage"], json({"refuse"}));
}

TEST_F(Jobs, PrivateOnesAndWhoAnswered) {
  start();
  EXPECT_EQ(post("/v1/jobs", json{{"kind", "generate"}, {"private", true}}).status, 202);
  EXPECT_TRUE(foreman_.submitted.stays);
  EXPECT_EQ(error_of(post("/v1/jobs", json{{"kind", "generate"}, {"private", 1}})),
            "400 invalid_request_error usage private");
  add(JobState::kQueued);
  foreman_.job_table[kId].spec.stays = true;
  foreman_.job_table[kId].answered = R"([{"model":"far","device":"cloud","why":"large"}])";
  const json shown = json::parse(get(path()).body);
  EXPECT_EQ(shown["private"], true);
  EXPECT_EQ(shown["answered_by"][0]["device"], "cloud");
}

// Over the network no file may be named, but sent.
TEST_F(Jobs, FilesMayBeUploaded) {
  const auto form = [&](const std::vector<std::pair<std::string, std::string>>& parts) {
    std::string body;
    for (const auto& [head, content] : parts) {
      body += "--xx\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + content + "\r\n";
    }
    body += "--xx--\r\n";
    return ask(tcp(), {"POST", "/v1/jobs",
                       {{"Content-Type", "multipart/form-data; boundary=xx"}}, body});
  };
  const std::string job = R"({"kind":"transcribe","priority":3})";
  start();
  std::vector<std::string> contents;
  foreman_.on_submit = [&](const JobSpec& spec) {
    for (const std::string& file : spec.files) contents.push_back(*os_->read_file(file, MiB(1)));
  };
  const auto answer = form({{"name=\"file\"; filename=\"../x/my talk.wav\"", "one"},
                            {"name=\"job\"", job},
                            {"name=\"file\"; filename=\"..\"", "two"}});
  EXPECT_EQ(answer.status, 202) << answer.body;
  EXPECT_EQ(foreman_.submitted.priority, 3);
  EXPECT_TRUE(foreman_.submitted.keep);
  EXPECT_EQ(foreman_.submitted.names, (std::vector<std::string>{"my_talk.wav", "upload"}));
  EXPECT_EQ(contents, (std::vector<std::string>{"one", "two"}));
  EXPECT_TRUE(os_->list(options_.spool_dir)->empty());

  EXPECT_EQ(error_of(form({{"name=\"file\"; filename=\"a\"", "x"}})),
            "400 invalid_request_error usage job");
  EXPECT_EQ(error_of(form({{"name=\"job\"", "[]"}})), "400 invalid_request_error usage job");
  EXPECT_EQ(error_of(form({{"name=\"job\"", job}, {"name=\"file\"; filename=\"a\"", ""}})),
            "400 invalid_request_error usage file");
  EXPECT_EQ(error_of(form({{"name=\"job\"", job}, {"name=\"files\"", "x"}})),
            "400 invalid_request_error usage files");
  EXPECT_EQ(error_of(form({{"name=\"job\"", R"({"kind":"k","files":["/etc/passwd"]})"}})),
            "403 permission_error permission files");
  EXPECT_EQ(error_of(ask(tcp(), {"POST", "/v1/jobs", {{"Content-Type", "multipart/form-data"}},
                                 "x"})),
            "400 invalid_request_error usage");
}

TEST_F(Jobs, PruningIsTheOwnersAlone) {
  start();
  EXPECT_EQ(post("/v1/prune", json::object()).status, 403);
  const json body = {{"older_s", 86'400}, {"state", "failed"}, {"dry_run", true}};
  const auto answer = post_local("/v1/prune", body);
  EXPECT_EQ(json::parse(answer.body), (json{{"pruned", {kId}}, {"dry_run", true}}));
  EXPECT_EQ(foreman_.pruned.older, std::chrono::hours(24));
  EXPECT_EQ(foreman_.pruned.state, JobState::kFailed);
  EXPECT_TRUE(foreman_.pruned.dry);
  EXPECT_EQ(post_local("/v1/prune", json::object()).status, 200);
  EXPECT_FALSE(foreman_.pruned.older || foreman_.pruned.state || foreman_.pruned.dry);
  const std::string refused = "400 invalid_request_error usage ";
  EXPECT_EQ(error_of(post_local("/v1/prune", {{"older_s", -1}})), refused + "older_s");
  EXPECT_EQ(error_of(post_local("/v1/prune", {{"older_s", "old"}})), refused + "older_s");
  EXPECT_EQ(error_of(post_local("/v1/prune", {{"older_s", 1e300}})), refused + "older_s");
  EXPECT_EQ(error_of(post_local("/v1/prune", {{"state", "lost"}})), refused + "state");
  EXPECT_EQ(error_of(post_local("/v1/prune", {{"dry_run", "yes"}})), refused + "dry_run");
}

TEST_F(Jobs, StrangersNameNoFiles) {
  start();
  json body = {{"kind", "generate"}, {"params", {{"prompt", "/tell/me"}, {"model", "chat"}}}};
  EXPECT_EQ(post("/v1/jobs", body).status, 202);
  body["files"] = json::array();
  EXPECT_EQ(post("/v1/jobs", body).status, 202);
  body["files"] = {"/etc/passwd"};
  EXPECT_EQ(error_of(post("/v1/jobs", body)), "403 permission_error permission files");
  body.erase("files");
  body["params"]["model"] = "/m.gguf";
  EXPECT_EQ(error_of(post("/v1/jobs", body)), "403 permission_error permission params");
  body["params"]["model"] = {"/m.gguf"};
  EXPECT_EQ(error_of(post("/v1/jobs", body)), "403 permission_error permission params");
  EXPECT_EQ(post_local("/v1/jobs", body).status, 202);
}

TEST_F(Jobs, BadBodies) {
  start();
  const json good = {{"kind", "generate"}};
  const auto with = [&](const char* key, const json& value) {
    json body = good;
    body[key] = value;
    return error_of(post_local("/v1/jobs", body));
  };
  EXPECT_EQ(post_local("/v1/jobs", good).status, 202);
  EXPECT_EQ(with("kind", ""), "400 invalid_request_error usage kind");
  EXPECT_EQ(with("kind", 7), "400 invalid_request_error usage kind");
  EXPECT_EQ(with("params", "text"), "400 invalid_request_error usage params");
  EXPECT_EQ(with("files", "text"), "400 invalid_request_error usage files");
  EXPECT_EQ(with("files", {7}), "400 invalid_request_error usage files");
  EXPECT_EQ(with("files", {"relative.wav"}), "400 invalid_request_error usage files");
  EXPECT_EQ(with("priority", "high"), "400 invalid_request_error usage priority");
  EXPECT_EQ(with("priority", 101), "400 invalid_request_error usage priority");
  EXPECT_EQ(with("priority", 1.5), "400 invalid_request_error usage priority");
  EXPECT_EQ(with("idempotency_key", std::string(201, 'k')),
            "400 invalid_request_error usage idempotency_key");
  for (const char* key : {"not_before", "deadline"}) {
    EXPECT_EQ(with(key, "tomorrow"), std::string("400 invalid_request_error usage ") + key);
  }
  EXPECT_EQ(with("depends_on", "x"), "400 invalid_request_error usage depends_on");
  EXPECT_EQ(with("depends_on", {"../x"}), "400 invalid_request_error usage depends_on");
  EXPECT_EQ(with("depends_on", json(257, kId)), "400 invalid_request_error usage depends_on");
  EXPECT_EQ(with("attempts_max", -1), "400 invalid_request_error usage attempts_max");
  EXPECT_EQ(with("attempts_max", 1001), "400 invalid_request_error usage attempts_max");
  json body = good;
  body["priority"] = 100;
  body["idempotency_key"] = std::string(200, 'k');
  EXPECT_EQ(post_local("/v1/jobs", body).status, 202);
  foreman_.submit_fault = Error{Code::kUsage, "no such kind", "use transcribe"};
  EXPECT_EQ(error_of(post_local("/v1/jobs", good)), "400 invalid_request_error usage");
}

TEST_F(Jobs, FilesAtNAndNPlusOne) {
  start();
  json body = {{"kind", "minutes"}, {"files", json::array()}};
  for (uint32_t i = 0; i < kJobFilesMax; ++i) body["files"].push_back("/f");
  EXPECT_EQ(post_local("/v1/jobs", body).status, 202);
  body["files"].push_back("/f");
  EXPECT_EQ(error_of(post_local("/v1/jobs", body)), "400 invalid_request_error usage files");
}

TEST_F(Jobs, ListShowAndResult) {
  add(JobState::kDone);
  start();
  const json list = json::parse(get("/v1/jobs?limit=5").body);
  ASSERT_EQ(list["data"].size(), 1u);
  EXPECT_EQ(list["data"][0]["id"], kId);
  for (const char* limit : {"0", "1001", "x", "-1", "5x", ""}) {
    EXPECT_EQ(error_of(get(std::string("/v1/jobs?limit=") + limit)),
              "400 invalid_request_error usage limit");
  }
  EXPECT_EQ(json::parse(get(path()).body)["result"]["text"], "done");
  const auto result = get(path("/result"));
  EXPECT_EQ(result.body, "{\"text\":\"done\"}");
  EXPECT_EQ(result.header("Content-Type"), "application/json");
}

TEST_F(Jobs, AJobWithoutAResultSaysWhy) {
  add(JobState::kRunning);
  start();
  EXPECT_EQ(error_of(get(path("/result"))), "409 invalid_request_error conflict");
  foreman_.job_table[kId].state = JobState::kFailed;
  foreman_.job_table[kId].error = Error{Code::kCorrupt, "no audio in it", ""};
  EXPECT_EQ(message_of(get(path("/result"))), "no audio in it");
  EXPECT_EQ(json::parse(get(path()).body)["error"]["code"], "corrupt");
}

TEST_F(Jobs, UnknownIdsAre404OnEveryRoute) {
  foreman_.job_table["../../x"] = {};  // no id, whatever the table says
  start();
  for (const std::string& id : {std::string("01jbbbbbbbbbbbbbbbbb"), std::string("..%2F..%2Fx"),
                                std::string(500, 'a')}) {
    const std::string target = "/v1/jobs/" + id;
    EXPECT_EQ(error_of(get(target)), "404 invalid_request_error not_found");
    EXPECT_EQ(error_of(get(target + "/result")), "404 invalid_request_error not_found");
    EXPECT_EQ(error_of(get(target + "/events")), "404 invalid_request_error not_found");
    EXPECT_EQ(error_of(post(target + "/cancel", std::string())),
              "404 invalid_request_error not_found");
  }
}

TEST_F(Jobs, EventsAreAStream) {
  add(JobState::kRunning);
  foreman_.events = {"{\"n\":1}", "{\"n\":2}"};
  start();
  const auto response = get(path("/events"));
  EXPECT_EQ(response.header("Content-Type"), "text/event-stream");
  EXPECT_EQ(response.body, "data: {\"n\":1}\n\ndata: {\"n\":2}\n\n");
  foreman_.watch_fault = Error{Code::kIo, "broken", ""};
  EXPECT_NE(get(path("/events")).body.find("\"broken\""), std::string::npos);
}

TEST_F(Jobs, AWatcherThatLeavesIsForgotten) {
  add(JobState::kRunning);
  foreman_.events = {"{\"n\":1}"};
  foreman_.hold_events = true;
  start();
  http::RawPeer peer(tcp());
  peer.send("GET " + path("/events") + " HTTP/1.1\r\nHost: " + tcp().text() + "\r\n\r\n");
  peer.read_until_text("\"n\":1");
  EXPECT_EQ(foreman_.watched, 0);
  peer.close();
  wait_for([&] { return foreman_.watched == 1; });
}

TEST_F(Jobs, Cancel) {
  add(JobState::kRunning);
  start();
  const auto response = post(path("/cancel"), std::string());
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json::parse(response.body)["state"], "cancelled");
  foreman_.job_table[kId].state = JobState::kDone;
  EXPECT_EQ(error_of(post(path("/cancel"), std::string())), "409 invalid_request_error conflict");
}

}  // namespace
}  // namespace gantry
