-- wrk's load: exactly REQUESTS requests, GET and POST mixed, none cut off at the end.
--
-- wrk by itself stops by the clock and aborts what is under way, which the proxies log as 499.
-- Here delay() hands out the requests and parks a connection when none is left; the last response
-- ends the program, with every connection idle.

local total = tonumber(os.getenv("REQUESTS"))
local posts = tonumber(os.getenv("POST_PERCENT"))
local think_ms = tonumber(os.getenv("THINK_MS"))
local same_target = os.getenv("SAME_TARGET") == "on"
local host = os.getenv("LOAD_HOST")

local handed_out, answered = 0, 0
local agents = {
  "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
  "shop-app/4.2 (Android 14)",
  "shop-app/4.2 (iOS 17.5)",
  "curl/7.88.1",
}

function init(args)
  math.randomseed(tonumber(os.getenv("SEED")))
end

function delay()
  if handed_out >= total then
    return 3600 * 1000
  end
  handed_out = handed_out + 1
  if think_ms > 0 then
    return math.floor(math.random() * 2 * think_ms)
  end
  return 0
end

function request()
  local headers = {
    ["Host"] = host,
    ["User-Agent"] = agents[math.random(#agents)],
    ["Accept"] = "application/json",
  }
  if math.random(100) > posts then
    local number = same_target and 7 or math.random(200)
    return wrk.format("GET", "/api/item/" .. number, headers)
  end
  local order = math.random(8000, 9999)
  local body = string.format('{"order":%d,"lines":[{"item":%d,"count":%d}]}',
    order, math.random(200), math.random(5))
  headers["Content-Type"] = "application/json"
  if order % 10 == 0 then
    -- A chunked request body; nginx collects it and passes it on with a length.
    headers["Transfer-Encoding"] = "chunked"
    local middle = math.floor(#body / 2)
    local head = wrk.format("POST", "/api/order/" .. order, headers)
    return head .. string.format("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", middle, body:sub(1, middle),
      #body - middle, body:sub(middle + 1))
  end
  return wrk.format("POST", "/api/order/" .. order, headers, body)
end

function response()
  answered = answered + 1
  if answered >= total then
    print(string.format("%d requests answered", answered))
    io.stdout:flush()
    os.exit(0)
  end
end
