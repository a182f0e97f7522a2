-- SPDX-License-Identifier: GPL-2.0-or-later
-- wrk asks one request again and again; every answer must be the one in the file that WRK_EXPECTED names.
local thread_number = 0
local threads = {}

function setup(thread)
  thread:set("id", thread_number)
  table.insert(threads, thread)
  thread_number = thread_number + 1
end

function init(args)
  local file = io.open(os.getenv("WRK_EXPECTED"), "rb")
  expected = file:read("*a")
  file:close()
  expected_status = tonumber(os.getenv("WRK_STATUS"))
  wrong = 0
  for name, value in string.gmatch(os.getenv("WRK_HEADERS") or "", "([^\n:]+): ([^\n]*)") do
    wrk.headers[name] = value
  end
end

function response(status, headers, body)
  if status ~= expected_status or body ~= expected then
    wrong = wrong + 1
  end
end

function done(summary, latency, requests)
  local bad = 0
  for _, thread in ipairs(threads) do
    bad = bad + thread:get("wrong")
  end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %d %f %f\n", summary.requests, summary.duration, bad, errors,
    latency:percentile(50), latency:percentile(99)))
end
