# A server and a client over TLS for the table of TLS libraries.
#
# rows.rb serve PORT CERT KEY
# rows.rb ask PORT PATH...
require 'openssl'
require 'socket'
require 'net/http'

what, port, *rest = ARGV
if what == 'serve'
  context = OpenSSL::SSL::SSLContext.new
  context.cert = OpenSSL::X509::Certificate.new(File.read(rest[0]))
  context.key = OpenSSL::PKey.read(File.read(rest[1]))
  server = TCPServer.new('127.0.0.1', port.to_i)
  loop do
    Thread.new(server.accept) do |socket|
      tls = OpenSSL::SSL::SSLSocket.new(socket, context)
      tls.sync_close = true
      tls.accept
      while (line = tls.gets)
        path = line.split[1]
        while (header = tls.gets) && header.strip != ''
        end
        tls.write("HTTP/1.1 200 OK\r\nContent-Length: #{path.size}\r\n\r\n#{path}")
      end
      tls.close
    rescue OpenSSL::SSL::SSLError, SystemCallError
      socket.close
    end
  end
else
  http = Net::HTTP.new('127.0.0.1', port.to_i)
  http.use_ssl = true
  http.verify_mode = OpenSSL::SSL::VERIFY_NONE
  http.start do |client|
    rest.each { |path| raise path unless client.get(path).body == path }
  end
end
